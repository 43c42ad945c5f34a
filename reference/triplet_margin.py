"""Triplet margin loss (spec/triplet_margin.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.distances import RowDistance, metric
from lossproof.reference.inputs import as_masked_rows, as_weights, described, weighing
from lossproof.reference.terms import Terms, differentiable, softened, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_distance,
    check_real,
    check_rows,
    check_soft_margin,
)


@differentiable
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    soft_margin: bool = False,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float = 1e-6,
    eps_at: str = "difference",
    swap: bool = False,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Triplets:
    """Return the triplet margin loss of rows, in float64.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))``, with ``d(positive, negative)`` in place of the last
    distance where `swap` is True and it is strictly smaller; with `soft_margin`
    ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))`` of the same distances.

    Args:
        anchor: rows of shape (..., D), any float dtype.
        positive: rows, same shape.
        negative: rows, same shape.
        margin: in the unit of the distance, [0, inf); left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: where it is added: "difference", "root" or "floor".
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        mask: booleans of shape (...); True takes part.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a
            mean divides by their sum.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those that are positive).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (...) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: derivative 0 for the hinge at 0, for |t| at 0, for a norm at 0 and at or below a floor; with p = inf the
    lowest coordinate; `swap` at a tie takes d(anchor, negative). Clauses TM-1 to TM-11, DI-1 to DI-21, CV-1 to CV-46.
    Source: Schroff et al. (2015), eq. 2; Balntas et al. (2016), eq. 4.
    """
    check_rows(described(anchor=anchor, positive=positive, negative=negative))  # CV-24, CV-25, CV-26
    check_real("margin", margin, 0)  # TM-3, CV-28
    check_soft_margin(soft_margin, margin, 1.0)  # TM-11
    check_distance(distance, p, eps, eps_at)  # DI-20, DI-21
    check_bool("swap", swap)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = as_weights(weights, mask, anchor=anchor)
    takes_part, a, pos, n = as_masked_rows(weighing(w, mask), anchor=anchor, positive=positive, negative=negative)
    d = metric(distance, float(p), float(eps), eps_at)

    ap, an = d(a, pos), d(a, n)  # TM-4
    pn = d(pos, n) if swap else an
    swapped = pn.value < an.value  # TM-5, TM-6
    least = None if soft_margin else float(margin)
    slack = (least or 0.0) + ap.value - np.where(swapped, pn.value, an.value)
    if least is None:
        terms, active, reduction = softened(slack, reduction)  # TM-11
    else:
        terms, active = np.where(slack <= 0, 0, slack), ~(slack <= 0)  # TM-1, TM-10, CV-13; NaN stays, CV-10
    return Triplets(terms, takes_part, reduction, least, ap, an, pn, swapped, slack, active, unit_weights=w)


@dataclass(frozen=True)
class Triplets(Terms):
    """The terms of given triplets."""

    margin: float | None  # None: a soft one
    ap: RowDistance
    an: RowDistance
    pn: RowDistance  # d(a, n) itself without `swap`
    swapped: Array  # where d(p, n) is in the place of d(a, n)
    slack: Array
    active: Array  # d term / d slack

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Add what reaches each input as an end of each distance: TM-7."""
        w, swapped = times(w, self.active)[..., None], self.swapped[..., None]
        ap, an, pn = self.ap.gradients, self.an.gradients, self.pn.gradients
        return {
            "anchor": times(w, ap[0] - np.where(swapped, 0, an[0])),
            "positive": times(w, ap[1] - np.where(swapped, pn[0], 0)),
            "negative": times(w, -np.where(swapped, pn[1], an[1])),
        }
