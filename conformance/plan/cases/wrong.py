"""A wrong call: a legal one with one thing changed, and the changes that several questions make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS, Array, rounded
from lossproof.conformance.host.case import Case

Change = Callable[[Array], Array]


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong: the clause that forbids it, and how a legal call becomes that."""

    clause: str
    label: str
    inputs: Mapping[str, Change] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()  # what the legal call has, too, of the inputs that a call may go without

    def applied(self, legal: Case) -> Case:
        """Return the legal call with this wrong."""
        inputs = {n: self.inputs.get(n, same)(a) for n, a in legal.inputs.items() if n not in self.missing}
        held = {n: d for n, d in self.dtypes.items() if d in FORMATS and n in inputs}
        inputs |= {n: rounded(inputs[n], dtype) for n, dtype in held.items()}
        return replace(legal, inputs=inputs, dtypes=self.dtypes, parameters={**legal.parameters, **self.parameters})


def not_one_a_unit(clause: str, name: str, axis: str, beside: tuple[str, ...] = ()) -> Iterator[Wrong]:
    """Yield an array that has not one entry a unit."""
    yield Wrong(clause, f"{name} ({axis}, 1)", {name: lambda a: a[:, None]}, beside=beside)
    yield Wrong(clause, f"{name} of one row", {name: lambda a: a[:1]}, beside=beside)
    yield Wrong(clause, f"{name} of another length", {name: lambda a: np.append(a, a[:1])}, beside=beside)


def same(array: Array) -> Array:
    """Return the array as it is."""
    return array


def twice_as_wide(array: Array) -> Array:
    """Return rows with every feature twice."""
    return np.repeat(array, 2, axis=1)


def no_features(array: Array) -> Array:
    """Return rows without features."""
    return array[..., :0]


def typed(dtype: str) -> Change:
    """Return the change of an array to zeros and ones, or whole numbers, of another dtype."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return lambda a: np.ones(a.shape, kind)
    return lambda a: np.clip(np.rint(a), 0 if kind.kind == "u" else -100, 100).astype(kind)
