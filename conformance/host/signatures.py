"""The parameters that a function has: read from its signature, or from that of the method an object is called by."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lossproof.conformance.host.targets import TargetError


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, or of an object that is called like one; TargetError if none can be read."""
    try:
        found = list(inspect.signature(function).parameters.values())
        inner = next((n for n in ("forward", "call") if callable(getattr(function, n, None))), None)
        if inner and all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
            found = list(inspect.signature(getattr(function, inner)).parameters.values())  # of a torch or Keras object
    except (TypeError, ValueError) as problem:
        name = getattr(function, "__name__", type(function).__name__)
        raise TargetError(f"the parameters of {name} cannot be read ({problem}): wrap it in a function") from problem
    return found


def catches_all(found: Sequence[inspect.Parameter]) -> bool:
    """Whether any keyword is taken."""
    return any(p.kind is p.VAR_KEYWORD for p in found)


def bound(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return what a partial function binds by name."""
    return dict(function.keywords) if isinstance(function, functools.partial) else {}
