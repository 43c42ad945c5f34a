"""The semi-hard triplet loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.pairs import Batch, zeros


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each pair; 0 off the pairs that take part."""
    batch, margin = Batch(inputs, options, "squared_euclidean"), mpmath.mpf(options.get("margin", 1.0))
    found = zeros(batch.size, len(batch.names))
    for a, p in _pairs(batch):
        far = batch.negatives(a)
        if batch.unknown(a, [p, *far]):
            found[a, p] = mpmath.nan
            continue
        farther = [batch.d(a, n) for n in far if batch.d(a, n) > batch.d(a, p)]
        taken = min(farther) if farther else max(batch.d(a, n) for n in far)
        gap = batch.d(a, p) - taken
        found[a, p] = mpmath.log1p(mpmath.exp(gap)) if options.get("soft_margin", False) else max(margin + gap, 0)
    return found


def counted(found: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return which pairs the mean counts."""
    counts, every = np.zeros(found.shape, bool), options.get("reduction", "mean") == "mean"
    every = every or options.get("soft_margin", False)
    for pair in _pairs(Batch(inputs, options, "squared_euclidean")):
        counts[pair] = every or not found[pair] <= 0
    return counts


def _pairs(batch: Batch) -> list[tuple[int, int]]:
    return [(a, p) for a in batch.members for p in batch.positives(a) if batch.negatives(a)]
