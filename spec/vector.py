"""Loader of the frozen vectors: inputs, options, value, gradients and budgets of single calls, in plain JSON.

They are for ports that have no Python at hand. An implementation that is right on them alone is not conformant: the
suite judges fresh cases too, and copies of these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lossproof.spec.page import losses

_FOLDER = files("lossproof.spec") / "vectors"


@dataclass(frozen=True)
class Vector:
    """One call and what it must return.

    Args:
        id: its permanent name, for instance TM-v3.
        loss: the loss that is called.
        clauses: the clauses that it asks about, the one it was found by first.
        dtype: float64 or float32, of every float input.
        inputs: nested lists; every float is exact in `dtype`.
        parameters: options that are not the default; infinity is the string "inf".
        cotangent: what the value is multiplied with before its gradient is taken; it has the value's shape.
        value: the right value.
        gradients: the right gradient of the sum of cotangent times value, by input.
        budget: the largest error an implementation of grade `direct` may have, entry by entry, "value" and "gradients".
        betrays: the bugs of this suite's broken implementations that it shows.
        provenance: where it comes from.
    """

    id: str
    loss: str
    clauses: tuple[str, ...]
    dtype: str
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any]
    cotangent: Any
    value: Any
    gradients: Mapping[str, Any]
    budget: Mapping[str, Any]
    betrays: tuple[str, ...]
    provenance: str


@cache
def vectors(loss: str) -> tuple[Vector, ...]:
    """Return the frozen vectors of a loss, in the order of their ids; none where its page has no file of them."""
    path = _FOLDER / f"{losses()[loss].name}.json"
    if not path.is_file():
        return ()
    entries = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    return tuple(Vector(**entry | {name: tuple(entry[name]) for name in ("clauses", "betrays")}) for entry in entries)


@cache
def vector_schema() -> Any:
    """Return the JSON Schema of a file of vectors."""
    return json.loads((_FOLDER / "schema.json").read_text(encoding="utf-8"))
