"""JSON schemas of the certificate and of the protocol."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def schema(name: str) -> Any:
    """Return a published schema: "certificate" or "protocol"."""
    return json.loads((files("lossproof.conformance.schemas") / f"{name}.json").read_text(encoding="utf-8"))
