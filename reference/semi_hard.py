"""Semi-hard triplet loss (spec/semi_hard.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.candidates import as_sets
from lossproof.reference.distances import RowDistance
from lossproof.reference.inputs import as_weights
from lossproof.reference.pairwise import Batch, all_pairs, most_positives, pair_metric
from lossproof.reference.terms import Terms, differentiable, softened, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_choice,
    check_pair_distance,
    check_pairwise,
    check_real,
    check_soft_margin,
)


@differentiable
def semi_hard_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    soft_margin: bool = False,
    distance: str = "squared_euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    candidates: ArrayLike | None = None,
    candidate_labels: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    candidate_index: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> SemiHard:
    """Return the semi-hard triplet loss, in float64.

    ``max(0, margin + d(a, p) - d(a, n))`` for each anchor a and each positive p of it, where n is the nearest negative
    that is farther than p, or the farthest negative where none is; with `soft_margin`
    ``log(1 + exp(d(a, p) - d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf); left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram" or "direct", how accurate the distances of a backend are; nothing changes here.
        max_positives: the most positives that an anchor may have, or None.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those that are
            positive).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, for "none" of shape (B, B), or (B, M) with candidates, with 0 off the pairs that take part, else ();
        with `cotangent`, the pair of the loss and a dictionary of the gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A pair whose anchor has no negative takes no part. A negative as far as the positive is not farther; of negatives
    that tie, the lowest index alone gets gradient; the hinge at 0 and coincident rows have gradient 0.
    Clauses SH-1 to SH-13, PW-1 to PW-14, CV-1 to CV-46. Source: Schroff et al. (2015), section 3.2; tf.contrib.
    """
    check_real("margin", margin, 0)  # CV-28
    check_soft_margin(soft_margin, margin, 1.0)  # SH-12
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = as_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    positive, negative = sets.pairs()  # PW-2, PW-9
    most_positives(positive, max_positives)  # PW-8

    ap = all_pairs(sets, pair_metric(distance))
    farther = (ap.value[:, None, :] > ap.value[:, :, None]) & negative[:, None, :]  # SH-2
    preference = preferred(ap.value, farther, negative)
    chosen = np.argmax(preference, axis=-1) if positive.size else np.zeros(positive.shape, int)  # SH-8
    batch = Batch(sets, distance, pairwise)
    of_pairs = None if w is None else np.broadcast_to(w[:, None], positive.shape)  # SH-11
    least = None if soft_margin else float(margin)
    return triplets(batch, ap, least, positive, negative, chosen, reduction, of_pairs)


def preferred(d: Array, farther: Array, negative: Array) -> Array:
    """Return, for each pair (a, p), numbers (B, M, M) of which that of its negative is the largest: SH-3."""
    nearest = np.where(farther, -d[:, None, :], -np.inf)
    farthest = np.where(negative, d, -np.inf)[:, None, :]
    return np.where(farther.any(axis=-1, keepdims=True), nearest, farthest)


def triplets(
    batch: Batch,
    ap: RowDistance,
    margin: float | None,
    positive: Array,
    negative: Array,
    chosen: Array,
    reduction: str,
    w: Array | None,
) -> SemiHard:
    """Return the terms of the pairs (a, p), each with its chosen negative; without a margin it is the soft one."""
    sets, d = batch.sets, pair_metric(batch.distance)
    pairs = positive & np.any(negative, axis=-1, keepdims=True)  # SH-4
    others = sets.met(chosen)
    an = d(np.broadcast_to(sets.rows[:, None], others.shape), others)
    unknown = np.any(np.isnan(np.where(negative, ap.value, 0)), axis=-1, keepdims=True)  # SH-10
    slack = np.where(unknown, np.nan, (margin or 0.0) + ap.value - an.value)
    if margin is None:
        terms, active, reduction = softened(slack, reduction)  # SH-12
    else:
        terms, active = np.where(slack <= 0, 0, slack), ~(slack <= 0)  # SH-1, SH-9
    return SemiHard(
        terms, pairs, reduction, batch, margin, positive, negative, chosen, ap, an, slack, active, unit_weights=w
    )


@dataclass(frozen=True)
class SemiHard(Terms):
    """The terms of the pairs (a, p) of an anchor and a candidate."""

    batch: Batch
    margin: float | None  # None: a soft one
    positive: Array
    negative: Array
    chosen: Array  # (B, M), the negative of each pair
    ap: RowDistance
    an: RowDistance
    slack: Array
    active: Array  # d term / d slack

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Add what reaches each row as anchor, as positive and as chosen negative: SH-7."""
        w, ap, an = times(w, self.active)[..., None], self.ap.gradients, self.an.gradients
        of_rows, of_candidates = times(w, ap[0] - an[0]).sum(axis=1), times(w, ap[1]).sum(axis=0)
        np.add.at(of_candidates, self.chosen, times(w, -an[1]))
        return self.batch.sets.gradients(of_rows, of_candidates)
