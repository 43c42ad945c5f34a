"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

import numpy as np

from lossproof.reference.decisions import Decisions
from lossproof.reference.distances import Metric, RowDistance, metric, p_norm, squared_euclidean
from lossproof.reference.typing import Array
from lossproof.spec.arguments import check_most_positives


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
        def kept(parts: tuple[Array, Array]) -> tuple[Array, Array]:
            return np.where(above, parts[0], 0), np.where(above, parts[1], 0)

        plain = squared_euclidean(x, y, name, decisions)
        scale = np.maximum(plain.value, floor)
        outcome, slack = ~(plain.value <= floor), plain.value - floor
        above = decisions.take(f"{name}: above the floor", outcome, slack, scale, (False, True))[..., None]
        value = np.where(plain.value <= floor, floor, plain.value)
        return RowDistance(value, scale, kept(plain.gradients), kept(plain.gradient_scales))

    return distance


def all_pairs(rows: Array, d: Metric) -> RowDistance:
    """Return the distances of every two rows, (B, B), with the decisions of no pair."""
    count = len(rows)
    shape = (count, count, rows.shape[-1])
    return d(np.broadcast_to(rows[:, None], shape), np.broadcast_to(rows, shape), "", Decisions())


def reach(every: RowDistance, rows: Array, takes_part: Array, distance: str, pairwise: str) -> Array:
    """Return the error scales of all pairs, (B, B), which say what is undecided: with "gram" those of `centred`."""
    if pairwise == "direct" or distance == "cosine":  # PW-6
        return every.scale
    given = rows[takes_part & np.all(np.isfinite(rows), axis=-1)]
    centred = given - np.mean(given, axis=0) if len(given) else given
    energy = np.max(np.sum(centred**2, axis=-1), initial=0.0)
    if distance == "squared_euclidean":
        return np.asarray(every.scale + energy)
    spread: Array = every.scale + np.divide(
        energy, every.value, out=np.full_like(every.value, np.inf), where=every.value > 0
    )
    return spread


def most_positives(positive: Array, max_positives: int | None) -> None:
    """Refuse an anchor with more positives than `max_positives`: PW-8."""
    if max_positives is not None:
        check_most_positives(int(np.max(np.sum(positive, axis=-1), initial=0)), int(max_positives))
