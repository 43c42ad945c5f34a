"""Contrastive loss (spec/contrastive.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.distances import RowDistance, metric
from lossproof.reference.inputs import as_masked_rows, as_weights, described, weighing
from lossproof.reference.terms import Terms, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_distance, check_mask, check_real, check_rows


@differentiable
def contrastive_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    dissimilar: ArrayLike,
    *,
    margin: float = 1.0,
    factor: float = 0.5,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float = 0.0,
    eps_at: str = "difference",
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Contrastive:
    """Return the contrastive loss of pairs of rows, in float64.

    ``factor * d(x1, x2)**2`` for a similar pair and ``factor * max(0, margin - d(x1, x2))**2`` for a dissimilar one.

    Args:
        x1: rows of shape (..., D), any float dtype.
        x2: rows, same shape.
        dissimilar: booleans of shape (...); True for a pair that belongs apart.
        margin: in the unit of the distance, [0, inf).
        factor: of both parts, [0, inf); 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: where it is added: "difference", "root" or "floor".
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a
            mean divides by their sum.
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are positive).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (...) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: coincident rows have gradient 0, and so has a pair at the margin; the others as for the distance.
    Clauses CO-1 to CO-10, DI-1 to DI-21, CV-1 to CV-46. Source: Hadsell, Chopra & LeCun (2006), eq. 4.
    """
    rows = described(x1=x1, x2=x2)
    check_rows(rows)  # CV-24, CV-25, CV-26
    check_real("margin", margin, 0)  # CO-10, CV-28
    check_real("factor", factor, 0)
    check_distance(distance, p, eps, eps_at, default_eps=0.0)  # DI-20, DI-21
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    apart = np.asarray(dissimilar)
    check_mask("dissimilar", apart.shape, apart.dtype.name, rows["x1"][0][:-1])  # CO-9
    w = as_weights(weights, mask, x1=x1)
    takes_part, x, y = as_masked_rows(weighing(w, mask), x1=x1, x2=x2)
    margin, factor = float(margin), float(factor)

    pair = metric(distance, float(p), float(eps), eps_at)(x, y)
    slack = margin - pair.value
    gap = np.where(slack <= 0, 0, slack)  # NaN stays, CV-10
    terms = factor * np.where(apart, gap, pair.value) ** 2  # CO-1, CO-2, CO-3, CO-6
    active = ~(slack <= 0)  # CV-13
    return Contrastive(terms, takes_part, reduction, margin, factor, apart, pair, active, unit_weights=w)


@dataclass(frozen=True)
class Contrastive(Terms):
    """The terms of pairs of rows."""

    margin: float
    factor: float
    apart: Array  # the pairs that are dissimilar
    pair: RowDistance
    active: Array  # where the hinge of a dissimilar pair lets the gradient through

    def slope(self) -> Array:
        """Return d term / d distance: CO-7."""
        d = self.pair.value
        return np.asarray(2 * self.factor * np.where(self.apart, np.where(self.active, d - self.margin, 0), d))

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Send each row what reaches it; where the slope is 0 that is 0: CO-8."""
        first, second = (times(self.slope()[..., None], part) for part in self.pair.gradients)
        return {"x1": times(w[..., None], first), "x2": times(w[..., None], second)}
