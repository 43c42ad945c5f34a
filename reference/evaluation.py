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


def as_rows(**rows: object) -> tuple[Array, ...]:
    """Return the inputs as float64, or wider where they are wider."""
    arrays = [np.asarray(row) for row in rows.values()]
    return tuple(a.astype(np.result_type(a.dtype, np.float64)) for a in arrays)


def described(**rows: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Describe numpy arrays for the argument checks: shape and dtype name."""
    described = {name: (np.asarray(row).shape, np.asarray(row).dtype.name) for name, row in rows.items()}
    return {name: (shape, "float64" if dtype == "longdouble" or dtype == "float128" else dtype) for name, (shape, dtype) in described.items()}
