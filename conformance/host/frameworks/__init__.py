"""One adapter a framework: how a case is run there, in each mode, and how its derivatives are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from lossproof.conformance.host.arrays import WIRE

REMEMBERED = 16  # arrays that earlier calls returned


class Framework(StrEnum):
    """The frameworks that have an adapter."""

    TORCH = "torch"
    TENSORFLOW = "tensorflow"
    JAX = "jax"
    NUMPY = "numpy"


class Adapter(Protocol):
    """How cases are run in one framework."""

    name: str
    version: str
    device: str
    dtypes: list[str]
    integers: list[str]  # dtypes of labels
    modes: list[str]  # the first is the one for general cases
    orders: list[int]
    effort: float  # share of the usual structures that it asks for; below 0.5 where each costs a compilation

    def run(self, ask: Request) -> dict[str, Any]:
        """Return loss and derivatives of one call."""

    def results(self, ask: Request) -> dict[str, Any]:
        """Return what a function that is no loss gives back."""

    def switches(self) -> dict[str, Any]:
        """Return what is set for the whole process, which a call leaves as it is."""

    def forget(self) -> None:
        """Drop what is kept between calls: another implementation follows."""

    def __hash__(self) -> int:
        """Return what tells it from another adapter."""


class NotALoss(Exception):
    """What came back is no float array of the framework."""


class Returned:
    """What audited calls returned, with a copy of each: no later call changes it."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, Any]] = []

    def changed(self, found: Iterable[Any], copy: Callable[[Any], Any], same: Callable[[Any, Any], bool]) -> list[str]:
        """Name what this call changed, and keep what it returned."""
        wrong = [] if all(same(*pair) for pair in self._kept) else ["what an earlier call returned"]
        self._kept = [*self._kept, *((part, copy(part)) for part in found)][-REMEMBERED:]
        return wrong

    def forget(self) -> None:
        """Drop it: another implementation follows."""
        self._kept.clear()


def remembered(
    call: Callable[..., Any],
    arrays: Mapping[str, Any],
    copy: Callable[[Any], Any],
    halve: Callable[[Any], None],
    same: Callable[[Any, Any], bool],
) -> list[str]:
    """Name it if arrays whose numbers have changed in place get the answer to those that they held before."""
    held = {name: copy(array) for name, array in arrays.items()}
    first = [copy(part) for part in flat(call(**held))]
    for array in held.values():
        halve(array)
    second = [copy(part) for part in flat(call(**held))]
    fresh = [copy(part) for part in flat(call(**{name: copy(array) for name, array in held.items()}))]
    old = all(map(same, first, second)) and not all(map(same, first, fresh))
    return ["what the call remembers of its arguments"] if old else []


def flat(found: Any) -> list[Any]:
    """Return what a function gave as a list: a tuple's parts, or the one thing."""
    return list(found) if isinstance(found, tuple | list) else [found]


def strided(array: Any) -> Any:
    """Return a numpy array as every second number of a larger one, columns first; between them are NaN, -1 or True."""
    turned = np.moveaxis(array, 0, -1) if array.ndim else array
    wide = np.full((*turned.shape, 2), np.nan if array.dtype.kind == "f" else -1).astype(array.dtype)
    wide[..., 0] = turned
    return np.moveaxis(wide[..., 0], -1, 0) if array.ndim else wide[..., 0]


def wired(array: Any) -> tuple[Any, str]:
    """Return a numpy array with the dtype it travels in: its own, or the widest of its kind."""
    kinds = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}
    if array.dtype.kind not in kinds:
        raise NotALoss(f"the function returned {array.dtype}")
    name = array.dtype.name if array.dtype.name in WIRE else kinds[array.dtype.kind]
    return array.astype(kinds["f"] if array.dtype.kind == "f" else name), name


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
    aligned: tuple[str, ...] = ()  # inputs with one row, or one entry, for each row of the batch
    again: bool = False  # compile as users do: what was compiled quickly has been found wrong
