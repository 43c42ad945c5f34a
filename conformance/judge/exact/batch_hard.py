"""The batch-hard triplet loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.pairs import Batch, zeros


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each anchor; 0 where it has no triplet."""
    batch, margin = Batch(inputs, options, "euclidean"), mpmath.mpf(options.get("margin", 0.3))
    found = zeros(batch.size)
    for a in _anchors(batch, options):
        near, far = batch.positives(a, itself=options.get("include_self", False)), batch.negatives(a)
        if batch.unknown(a, near + far):
            found[a] = mpmath.nan
            continue
        gap = max(batch.d(a, p) for p in near) - min(batch.d(a, n) for n in far)
        found[a] = mpmath.log1p(mpmath.exp(gap)) if options.get("soft_margin", False) else max(margin + gap, 0)
    return found


def counted(found: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return which anchors the mean counts."""
    anchors, counts = _anchors(Batch(inputs, options, "euclidean"), options), np.zeros(found.shape, bool)
    every = options.get("reduction") != "mean_nonzero" or options.get("soft_margin", False)
    counts[[a for a in anchors if every or not found[a] <= 0]] = True
    return counts


def _anchors(batch: Batch, options: Mapping[str, Any]) -> list[int]:
    itself = options.get("include_self", False)
    return [a for a in batch.members if batch.positives(a, itself=itself) and batch.negatives(a)]
