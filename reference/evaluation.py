"""What the reference knows about one call: the value, its derivatives, their error scales, the decisions taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions
from lossproof.reference.typing import Array
from lossproof.spec.arguments import check_batch, check_labels, check_mask

Arrays = Mapping[str, Array]
PairError = Callable[[Array], Array]


@dataclass(frozen=True)
class Evaluation:
    """A loss at a point. Cotangents have the shape of `value`; tangents that of their input."""

    value: Array
    scale: Array  # S, reduced as the value is
    vjp: Callable[[Array], dict[str, Array]]  # cotangent -> gradient of <cotangent, value>
    vjp_scale: Callable[[Array], dict[str, Array]]  # cotangent -> w G, entry by entry
    decisions: Decisions
    distances: tuple[Array, ...] = ()  # of each term, the pairs it is made of: what a grade other than direct adds to
    # (cotangent, tangents) -> derivative of vjp along them; None where the page gives no second derivatives
    hvp: Callable[[Array, Arrays], dict[str, Array]] | None = None
    hvp_scale: Callable[[Array, Arrays], dict[str, Array]] | None = None
    # As `distances`, where a term is made of pairs of the batch: (d -> error of d, d -> error of its gradient,
    # cotangent) -> what they add to the value and to the gradient of each input
    pair_errors: Callable[[PairError, PairError, Array], tuple[Array, dict[str, Array]]] | None = None
    terms: int | None = None  # how many terms there are, where that is fewer than the shapes of the inputs say


def as_rows(**rows: object) -> tuple[Array, ...]:
    """Return the inputs as float64, or wider where they are wider."""
    arrays = [np.asarray(row) for row in rows.values()]
    return tuple(a.astype(np.result_type(a.dtype, np.float64)) for a in arrays)


def described(**rows: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Describe numpy arrays for the argument checks: shape and dtype name; wider floats pass as float64."""
    arrays = {name: np.asarray(row) for name, row in rows.items()}
    wide = np.dtype(np.longdouble)
    return {name: (a.shape, "float64" if a.dtype == wide else a.dtype.name) for name, a in arrays.items()}


def as_batch(labels: ArrayLike, mask: ArrayLike | None, **embeddings: ArrayLike) -> tuple[Array, Array, Array]:
    """Check one batch (B, D) with labels and mask; return integer labels, the mask and the rows, masked ones as 0."""
    ((name, value),) = embeddings.items()
    ((shape, dtype),) = described(**embeddings).values()
    check_batch(name, shape, dtype)  # CV-34
    own = np.asarray(labels)
    check_labels("labels", own.shape, own.dtype.name, shape[0])  # CV-31
    takes_part = np.ones(shape[0], bool) if mask is None else np.asarray(mask)
    check_mask("mask", takes_part.shape, takes_part.dtype.name, shape[:1])  # CV-29, CV-30
    (rows,) = as_rows(**{name: value})
    return np.where(takes_part, own, 0), takes_part, np.where(takes_part[:, None], rows, 0)  # CV-8, CV-33
