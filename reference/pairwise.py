"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossproof.reference.candidates import Sets
from lossproof.reference.distances import Metric, Pair, RowDistance, SquaredEuclidean, metric, p_norm
from lossproof.reference.typing import Array
from lossproof.spec.arguments import check_most_positives


@dataclass(frozen=True)
class Batch:
    """The rows that are compared, and which distance of theirs was asked for."""

    sets: Sets
    distance: str
    pairwise: str


@dataclass(frozen=True)
class Floored:
    """The squared distance, raised to its floor, at which it has no gradient: PW-3, PW-4."""

    plain: SquaredEuclidean
    floor: float
    above: Array

    @property
    def value(self) -> Array:
        """The distances, (...)."""
        plain = self.plain.value
        return np.where(plain <= self.floor, self.floor, plain)

    @property
    def gradients(self) -> Pair:
        """Their gradients with respect to x and y, (..., D) each."""
        first, second = self.plain.gradients
        return np.where(self.above[..., None], first, 0), np.where(self.above[..., None], second, 0)


def pair_metric(distance: str, floor: float = 0.0) -> Metric:
    """Return the distance of two rows, raised to its floor: PW-1, PW-3, PW-4."""

    def floored(x: Array, y: Array) -> Floored:
        plain = SquaredEuclidean(x - y)
        return Floored(plain, floor, ~(plain.value <= floor))

    if distance == "euclidean" and floor:
        return lambda x, y: p_norm(x, y, 2.0, floor, "floor")
    if distance == "squared_euclidean" and floor:
        return floored
    return metric(distance, 2.0, 0.0, "difference")


def all_pairs(sets: Sets, d: Metric) -> RowDistance:
    """Return the distance of every anchor from every candidate, (B, M)."""
    others = sets.compared()
    return d(np.broadcast_to(sets.rows[:, None], others.shape), others)


def most_positives(positive: Array, max_positives: int | None) -> None:
    """Refuse an anchor with more positives than `max_positives`: PW-8."""
    if max_positives is not None:
        check_most_positives(int(np.max(np.sum(positive, axis=-1), initial=0)), int(max_positives))
