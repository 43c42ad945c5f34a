"""Batch-all triplet loss (spec/batch_all.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.candidates import as_sets
from lossproof.reference.distances import Pair, RowDistance
from lossproof.reference.inputs import as_weights
from lossproof.reference.pairwise import Batch, all_pairs, most_positives, pair_metric
from lossproof.reference.terms import Loss, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise, check_real


@differentiable
def batch_all_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "euclidean",
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
) -> BatchAll:
    """Return the batch-all triplet loss, in float64.

    ``max(0, margin + d(a, p) - d(a, n))`` for every anchor a, positive p and negative n of the batch.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf).
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
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over triplets that
            are positive).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: the hinge at 0 and coincident rows have gradient 0.
    Clauses BA-1 to BA-9, PW-1 to PW-14, CV-1 to CV-46. Source: Hermans, Beyer & Leibe (2017), eq. 6.
    """
    check_real("margin", margin, 0)  # CV-28
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = as_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    positive, negative = sets.pairs()  # PW-2, PW-9
    most_positives(positive, max_positives)  # PW-8

    pair = all_pairs(sets, pair_metric(distance))
    valid = positive[:, :, None] & negative[:, None, :]  # BA-2
    slack = float(margin) + pair.value[:, :, None] - pair.value[:, None, :]
    batch = Batch(sets, distance, pairwise)
    w = np.ones(len(sets.rows)) if w is None else w  # BA-9
    return BatchAll(batch, float(margin), pair, slack, valid, ~(slack <= 0) & valid, reduction, w)  # BA-6


def batch_all_active_fraction(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: ArrayLike | None = None,
) -> np.float64:
    """Return how many of the triplets of a batch are active, over how many there are, in float64.

    A triplet of an anchor a, a positive p and a negative n is active where ``margin + d(a, p) - d(a, n) > 0``.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf).
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram" or "direct", how accurate the distances of a backend are; nothing changes here.
        max_positives: the most positives that an anchor may have, or None.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.

    Returns:
        A number in [0, 1]: 0 without a triplet; NaN where there is one and a row that takes part holds NaN.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses BA-10 to BA-16. Source: Hermans, Beyer & Leibe (2017), the share of their mean over the active triplets.
    """
    check_real("margin", margin, 0)  # CV-28
    found = Triplets.of(embeddings, labels, distance, pairwise, max_positives, mask)
    d = found.pair.value
    active = sum(np.count_nonzero(float(margin) + near[:, None] > far) for near, far in found.by_anchor(d))  # BA-15
    every = sum(len(near) * len(far) for near, far in found.by_anchor(d))
    if not every:
        return np.float64(0)  # BA-12
    return np.float64(np.nan if np.isnan(found.batch.sets.rows).any() else active / every)  # BA-10, BA-13


@dataclass(frozen=True)
class Triplets:
    """The triplets of a batch, of which each is its anchor's; never B x B x B of them at once."""

    batch: Batch
    pair: RowDistance  # (B, B)
    positive: Array  # (B, B)
    negative: Array

    @staticmethod
    @np.errstate(all="ignore")
    def of(
        embeddings: ArrayLike,
        labels: ArrayLike,
        distance: str,
        pairwise: str,
        max_positives: int | None,
        mask: ArrayLike | None,
    ) -> Triplets:
        """Check the arguments of the loss and return its triplets."""
        check_pair_distance(distance)  # PW-1
        check_pairwise(pairwise, max_positives)
        sets = as_sets(embeddings, labels, mask)
        positive, negative = sets.pairs()  # BA-11
        most_positives(positive, max_positives)  # PW-8
        pair = all_pairs(sets, pair_metric(distance))
        return Triplets(Batch(sets, distance, pairwise), pair, positive, negative)

    def by_anchor(self, numbers: Array) -> Iterator[tuple[Array, Array]]:
        """Yield the numbers, of an array (B, B), of the positives and of the negatives of each anchor."""
        for own, positive, negative in zip(numbers, self.positive, self.negative, strict=True):
            yield own[positive], own[negative]


@dataclass(frozen=True)
class BatchAll(Loss):
    """The triplets (a, p, n) of a batch; those that are `valid` are terms."""

    batch: Batch
    margin: float
    pair: RowDistance  # (B, M)
    slack: Array  # (B, M, M)
    valid: Array
    active: Array  # those that get a gradient
    reduction: str
    unit_weights: Array  # (B,)

    def value(self) -> Array:
        """Return the sum of the terms of each anchor, or of all, or a mean."""
        terms = np.where(self.slack <= 0, 0, self.slack)  # BA-1; NaN stays, CV-10
        return self.reduced(np.where(self.valid, terms, 0))

    def by_row(self) -> Array:
        """Return the sum of the terms of each anchor, over what a mean is over."""
        return np.asarray(replace(self, reduction="none").value() / self.divisor())

    def reduced(self, triplets: Array) -> Array:
        """Return the sum of each anchor, or of all, over how many are counted."""
        terms = times(self.unit_weights, triplets.sum(axis=(1, 2)))  # CV-39
        return np.asarray(terms if self.reduction == "none" else terms.sum()) / self.divisor()

    def divisor(self) -> float:
        """Return how many triplets a mean is over, by the weights of their anchors: BA-3, BA-4, BA-9, CV-5."""
        unknown = np.any(np.isnan(self.slack) & self.valid, axis=(1, 2), keepdims=True)  # BA-7: all their terms are NaN
        counted = {"mean": self.valid, "mean_nonzero": self.active | (unknown & self.valid)}.get(self.reduction)
        total = 0.0 if counted is None else np.sum(self.unit_weights * np.count_nonzero(counted, axis=(1, 2)))
        return float(total) if total > 0 else 1.0

    @np.errstate(all="ignore")
    def gradients(self, cotangent: Array) -> dict[str, Array]:
        """Weigh each pair by how often it is the positive one of an active triplet, less how often the negative."""
        near, far = self.active.sum(axis=2), self.active.sum(axis=1)
        return self.to_rows(cotangent, near - far, self.pair.gradients)

    def to_rows(self, cotangent: Array, often: Array, parts: Pair) -> dict[str, Array]:
        """Add what reaches both ends of each pair: BA-5."""
        w = times(self.unit_weights, np.broadcast_to(cotangent, len(often)) / self.divisor())
        first, second = (times((w[:, None] * often)[..., None], part) for part in parts)
        return self.batch.sets.gradients(first.sum(axis=1), second.sum(axis=0))
