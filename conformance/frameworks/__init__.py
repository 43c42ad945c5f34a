"""One adapter a framework: how a case is run there, in each mode, and how its derivatives are taken.

An adapter has `version`, `device`, `dtypes`, `modes` (the first is the one for general cases), `orders`, and `run`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class NotALoss(Exception):
    """What came back is no float array of the framework."""


@dataclass(frozen=True)
class Request:
    """A case as an adapter sees it; arrays come and go as (float64 array, dtype name)."""

    function: Callable[..., Any]  # the call, with its options; inputs by keyword
    key: str  # names the options, for caches of compiled calls
    inputs: Mapping[str, tuple[Any, str]]
    mode: str
    order: int
    cotangent: Any
    tangents: Mapping[str, Any]
    traced: Mapping[str, float]  # options that may be arguments of a compiled call instead of constants in it
    audit: bool
