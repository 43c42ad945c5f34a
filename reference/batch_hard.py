"""Batch-hard triplet loss (spec/batch_hard.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.candidates import Sets, as_sets
from lossproof.reference.distances import Metric, RowDistance
from lossproof.reference.inputs import as_weights
from lossproof.reference.pairwise import all_pairs, pair_metric
from lossproof.reference.terms import Terms, differentiable, softened, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_pair_distance,
    check_real,
    check_soft_margin,
)


@differentiable
def batch_hard_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.3,
    soft_margin: bool = False,
    distance: str = "euclidean",
    floor: float = 0.0,
    include_self: bool = False,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    candidates: ArrayLike | None = None,
    candidate_labels: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    candidate_index: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> BatchHard:
    """Return the batch-hard triplet loss, in float64.

    ``max(0, margin + max_p d(a, p) - min_n d(a, n))`` for each anchor a, over the positives p and the negatives n of
    the batch; with `soft_margin` ``log(1 + exp(max_p d(a, p) - min_n d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf); left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are positive).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0.
    Clauses BH-1 to BH-12, PW-1 to PW-5, PW-9 to PW-14, CV-1 to CV-46. Source: Hermans, Beyer & Leibe (2017), eq. 5.
    """
    check_real("margin", margin, 0)  # CV-28
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = as_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    d = pair_metric(distance, float(floor))

    positive, negative = sets.pairs(include_self=include_self)  # BH-3, BH-12, PW-2, PW-9
    every = all_pairs(sets, d).value
    mined = Mined(sets, d, np.where(positive, every, -np.inf), np.where(negative, -every, -np.inf))
    hardest, nearest = (largest(of_each) for of_each in (mined.positive, mined.negative))  # BH-1, BH-8, PW-5
    anchors = np.any(positive, axis=-1) & np.any(negative, axis=-1)  # BH-2
    return triplets(mined, hardest, nearest, anchors, None if soft_margin else float(margin), reduction, w)


@dataclass(frozen=True)
class Mined:
    """The rows that are compared, and what the hardest of each anchor are picked from."""

    sets: Sets
    d: Metric
    positive: Array  # (B, M), the distances to positives, -inf elsewhere
    negative: Array  # (B, M), minus the distances to negatives, -inf elsewhere


def largest(values: Array) -> Array:
    """Return the index of the largest value of each row, the lowest of those that tie."""
    return np.argmax(values, axis=-1) if values.size else np.zeros(len(values), int)


def triplets(
    mined: Mined,
    hardest: Array,
    nearest: Array,
    anchors: Array,
    margin: float | None,
    reduction: str,
    w: Array | None,
) -> BatchHard:
    """Return the terms of each anchor with its hardest rows; without a margin it is the soft one."""
    sets, d = mined.sets, mined.d
    if not sets.candidates.size:  # there is nothing to choose, and no anchor has a triplet
        sets = replace(sets, candidates=np.zeros((1, sets.rows.shape[1])), itself=np.zeros((len(anchors), 1), bool))
    ap, an = d(sets.rows, sets.met(hardest)), d(sets.rows, sets.met(nearest))
    itself = sets.itself[np.arange(len(hardest)), hardest]
    slack = ap.value - an.value
    if margin is None:
        terms, active, reduction = softened(slack, reduction)  # BH-4
    else:
        slack = margin + slack
        terms, active = np.where(slack <= 0, 0, slack), ~(slack <= 0)  # BH-1, BH-9
    return BatchHard(
        terms, anchors, reduction, margin, mined, hardest, nearest, itself, ap, an, slack, active, unit_weights=w
    )


@dataclass(frozen=True)
class BatchHard(Terms):
    """The terms of the anchors of a batch."""

    margin: float | None
    mined: Mined
    hardest: Array
    nearest: Array
    itself: Array  # where the hardest positive is the anchor, which gives no gradient: BH-10
    ap: RowDistance
    an: RowDistance
    slack: Array
    active: Array  # d term / d slack

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Add what reaches each row as anchor, as hardest positive and as hardest negative: BH-7."""
        w, of_candidates = times(w, self.active)[:, None], np.zeros_like(self.mined.sets.candidates)
        ap, an = [np.where(self.itself[:, None], 0, part) for part in self.ap.gradients], self.an.gradients
        for at, part in ((self.hardest, ap[1]), (self.nearest, -an[1])) if of_candidates.size else ():
            np.add.at(of_candidates, at, times(w, part))
        return self.mined.sets.gradients(times(w, ap[0] - an[0]), of_candidates)
