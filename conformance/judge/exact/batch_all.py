"""The batch-all triplet loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.pairs import Batch, zeros


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the sum of each anchor over its triplets."""
    batch = Batch(inputs, options, "euclidean")
    found = zeros(batch.size)
    for a, loss in _triplets(batch, options):
        found[a] = found[a] + loss
    return found


def denominator(found: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> int:
    """Return how many triplets the mean divides by."""
    known = _triplets(Batch(inputs, options, "euclidean"), options)
    return len(known) if options.get("reduction", "mean") == "mean" else sum(not loss <= 0 for _, loss in known)


def _triplets(batch: Batch, options: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """Return the anchor and the loss of each triplet."""
    margin, found = mpmath.mpf(options.get("margin", 1.0)), []
    for a in batch.members:
        for p in batch.positives(a):
            for n in batch.negatives(a):
                gap = margin + batch.d(a, p) - batch.d(a, n)
                found.append((a, gap if mpmath.isnan(gap) else max(gap, mpmath.mpf(0))))
    return found
