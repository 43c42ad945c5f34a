"""What the reference knows about one call: the value, its derivatives, their error scales, the decisions taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lossproof.reference.decisions import Decisions
from lossproof.reference.typing import Array

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Evaluation:
    """A loss at a point. Cotangents have the shape of `value`; tangents that of their input."""

    value: Array
    scale: Array  # S, reduced as the value is
    vjp: Callable[[Array], dict[str, Array]]  # cotangent -> gradient of <cotangent, value>
    vjp_scale: Callable[[Array], dict[str, Array]]  # cotangent -> w G, entry by entry
    hvp: Callable[[Array, Arrays], dict[str, Array]]  # (cotangent, tangents) -> derivative of vjp along them
    hvp_scale: Callable[[Array, Arrays], dict[str, Array]]
    decisions: Decisions
    distances: tuple[Array, ...] = ()  # of each term, the pairs it is made of


def as_rows(**rows: object) -> tuple[Array, ...]:
    """Return the inputs as float64, or wider where they are wider."""
    arrays = [np.asarray(row) for row in rows.values()]
    return tuple(a.astype(np.result_type(a.dtype, np.float64)) for a in arrays)


def described(**rows: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Describe numpy arrays for the argument checks: shape and dtype name; wider floats pass as float64."""
    arrays = {name: np.asarray(row) for name, row in rows.items()}
    wide = np.dtype(np.longdouble)
    return {name: (a.shape, "float64" if a.dtype == wide else a.dtype.name) for name, a in arrays.items()}
