"""The batch-all triplet loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.pairs import Batch, zeros


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the sum of each anchor over its triplets."""
    batch = Batch(inputs, options, "euclidean")
    found = zeros(batch.size)
    for a, loss in _triplets(batch, options):
        found[a] = found[a] + loss
    return found


def counted(found: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return how many triplets of each anchor the mean counts."""
    counts, every = np.zeros(found.shape, int), options.get("reduction", "mean") == "mean"
    for a, loss in _triplets(Batch(inputs, options, "euclidean"), options):
        counts[a] += every or not loss <= 0
    return counts


def _triplets(batch: Batch, options: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """Return the anchor and the loss of each triplet."""
    margin = mpmath.mpf(options.get("margin", 1.0))
    found: list[tuple[int, Any]] = []
    for a in batch.members:
        if batch.unknown(a, [*batch.positives(a), *batch.negatives(a)]):
            found.extend((a, mpmath.nan) for _ in batch.positives(a) for _ in batch.negatives(a))
            continue
        for p in batch.positives(a):
            for n in batch.negatives(a):
                gap = margin + batch.d(a, p) - batch.d(a, n)
                found.append((a, max(gap, mpmath.mpf(0))))
    return found
