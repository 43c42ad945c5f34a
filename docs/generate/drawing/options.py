"""The options of a worked example, the defaults of its page included."""

from __future__ import annotations

from typing import Any

from lossproof.spec import Example, functions, losses

_GENERAL = {"distance": "p_norm", "p": 2.0, "eps": 0.0, "eps_at": "difference", "soft_margin": False, "swap": False}


def option(example: Example, name: str) -> Any:
    """Return an option of an example: as it is given, else as its page has it."""
    if name in example.parameters:
        return example.parameters[name]
    page = losses()[example.loss].parameters if example.loss else functions().get(str(example.function), {})
    known = page if example.loss else page.get("parameters", {})
    return known.get(name, {}).get("default", _GENERAL.get(name))
