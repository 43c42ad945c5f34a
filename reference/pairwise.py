"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

import numpy as np

from lossproof.reference.decisions import Decisions
from lossproof.reference.distances import Metric, RowDistance, metric, p_norm, squared_euclidean
from lossproof.reference.typing import Array


def candidates(labels: Array, takes_part: Array, *, include_self: bool = False) -> tuple[Array, Array]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    same = labels[:, None] == labels  # CV-32
    both = takes_part[:, None] & takes_part
    other = ~np.eye(len(labels), dtype=bool) | include_self
    return same & both & other, ~same & both


def pair_metric(distance: str, floor: float = 0.0) -> Metric:
    """Return the distance of two rows, raised to its floor: PW-1, PW-3, PW-4."""
    if distance == "euclidean" and floor:
        return p_norm(2.0, floor, "floor")
    if distance == "squared_euclidean" and floor:
        return _floored(floor)
    return metric(distance, 2.0, 0.0, "difference")


def _floored(floor: float) -> Metric:
    def distance(x: Array, y: Array, name: str, decisions: Decisions) -> RowDistance:
        plain = squared_euclidean(x, y, name, decisions)
        scale = np.maximum(plain.value, floor)
        outcome, slack = ~(plain.value <= floor), plain.value - floor
        above = decisions.take(f"{name}: above the floor", outcome, slack, scale, (False, True))[..., None]
        gradients, spreads = (
            tuple(np.where(above, part, 0) for part in parts) for parts in (plain.gradients, plain.gradient_scales)
        )
        value = np.where(plain.value <= floor, floor, plain.value)
        return RowDistance(value, scale, gradients, spreads)

    return distance


def all_pairs(rows: Array, d: Metric) -> RowDistance:
    """Return the distances of every two rows, (B, B), with the decisions of no pair."""
    count = len(rows)
    shape = (count, count, rows.shape[-1])
    return d(np.broadcast_to(rows[:, None], shape), np.broadcast_to(rows, shape), "", Decisions())
