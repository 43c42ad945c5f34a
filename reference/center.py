"""Center loss and the update of the centers (spec/center.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.inputs import as_batch, as_rows, as_weights, described, weighing
from lossproof.reference.terms import Terms, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_choice,
    check_label_range,
    check_real,
    check_table,
)


@differentiable
def center_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    centers: ArrayLike,
    *,
    factor: float = 0.5,
    floor: float = 0.0,
    ceiling: float = inf,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Center:
    """Return the center loss of a batch, in float64.

    ``factor * min(max(|x - c_y|^2, floor), ceiling)`` for each row x with label y.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,), in [0, C).
        centers: one row for each class, (C, D), of the dtype of the embeddings or a wider one.
        factor: [0, inf); 0.5 in the paper.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        reduction: "none", "sum" or "mean" (over the rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` with respect to embeddings and centers.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At or below the floor, and at or above the ceiling, the gradient is 0. Clauses CN-1 to CN-10, CV-1 to CV-46.
    Source: Wen et al. (2016), eq. 2.
    """
    check_real("factor", factor, 0)  # CV-28
    check_real("floor", floor, 0)
    check_real("ceiling", ceiling, float(floor), finite=False)  # CN-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = as_weights(weights, mask, embeddings=embeddings)
    y, takes_part, x, c = _batch_of(embeddings, labels, centers, weighing(w, mask))
    factor, floor, ceiling = float(factor), float(floor), float(ceiling)

    t = np.where(takes_part[:, None], x - c[y], 0)  # CN-1, CN-3, CN-5; a masked row meets no center, CN-6
    square = np.sum(t * t, axis=-1)
    kept = np.where(square < floor, floor, np.where(square > ceiling, ceiling, square))  # CN-2; NaN stays, CV-10
    above, below = ~(square <= floor), ~(square >= ceiling)  # CN-9
    slope = 2 * factor * t
    return Center(
        factor * kept, takes_part, reduction, floor, ceiling, square, kept, above, below, slope, y, len(c),
        unit_weights=w,
    )  # fmt: skip


@dataclass(frozen=True)
class Center(Terms):
    """The terms of rows and the centers of their classes."""

    floor: float
    ceiling: float
    square: Array  # |x - c_y|^2
    kept: Array  # the same between floor and ceiling
    above: Array  # the floor
    below: Array  # the ceiling
    slope: Array  # (B, D), d term / d row between the two
    labels: Array
    classes: int

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Send each row its gradient, and its center the opposite: CN-7, CN-8."""
        rows = times(w[:, None], np.where((self.above & self.below)[:, None], self.slope, 0))
        return {"embeddings": rows, "centers": self.by_class(-rows)}

    def by_class(self, rows: Array) -> Array:
        """Add the rows of each class."""
        total = np.zeros((self.classes, rows.shape[1]), rows.dtype)
        np.add.at(total, self.labels, rows)
        return total


def update_centers(
    centers: ArrayLike,
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: float = 0.5,
    mask: ArrayLike | None = None,
) -> Array:
    """Return the centers after one batch, in float64.

    ``c_j + alpha * sum(x_i - c_j) / (1 + n_j)`` over the n_j rows with label j; a center without rows is unchanged.

    Args:
        centers: one row for each class, (C, D), any float dtype.
        embeddings: rows of shape (B, D), same dtype or a narrower one.
        labels: integers of shape (B,), in [0, C).
        alpha: [0, 1].
        mask: booleans of shape (B,); True takes part.

    Returns:
        The new centers, (C, D).

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses CN-11 to CN-16. Source: Wen et al. (2016), eq. 4.
    """
    check_real("alpha", alpha, 0, high=1)  # CN-16
    y, takes_part, x, c = _batch_of(embeddings, labels, centers, mask)
    moved = c.copy()
    with np.errstate(all="ignore"):
        for j in np.unique(y[takes_part]):  # CN-12, CN-13
            own = x[takes_part & (y == j)]
            moved[j] = c[j] + float(alpha) * np.sum(own - c[j], axis=0) / (1 + len(own))  # CN-11
    return moved


def _batch_of(
    embeddings: ArrayLike, labels: ArrayLike, centers: ArrayLike, mask: ArrayLike | None
) -> tuple[Array, Array, Array, Array]:
    """Check the batch and its table; return labels, mask, rows and centers."""
    own, takes_part, x = as_batch(labels, mask, embeddings=embeddings)  # CV-31, CV-34
    described_ = described(embeddings=embeddings, centers=centers)
    (shape, dtype), (table, own_dtype) = described_["embeddings"], described_["centers"]
    check_table("centers", table, own_dtype, "embeddings", shape[1], dtype)
    if own.size:
        check_label_range("labels", int(own.min()), int(own.max()), 0, table[0] - 1)  # CV-33
    (c,) = as_rows(centers=centers)
    return own, takes_part, x, c
