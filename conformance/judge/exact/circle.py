"""The circle loss in mpmath."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.distances import dot
from lossproof.conformance.judge.exact.pairs import Batch, zeros


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each anchor; 0 where the mask leaves it out."""
    batch = Batch(inputs, {}, "cosine")
    cosine, fixed = _cosines(batch), _cosines(Batch(frozen, {}, "cosine"))
    m, gamma = mpmath.mpf(options.get("margin", 0.25)), mpmath.mpf(options.get("gamma", 256.0))
    cosine_of_weights = fixed if options.get("detach_weights", True) else cosine
    found = zeros(batch.size)
    for i in batch.members:
        met = [j for j in batch.present if j != batch.itself[i]]
        if any(mpmath.isnan(x) for row in (batch.rows[i], *(batch.others[j] for j in met)) for x in row):
            found[i] = mpmath.nan
            continue
        product = mpmath.mpf(1)
        for positive in (True, False):
            total = mpmath.mpf(0)
            for j in batch.positives(i) if positive else batch.negatives(i):
                s, weight_of = cosine(i, j), cosine_of_weights(i, j)
                if positive:
                    total += mpmath.exp(gamma * max(1 + m - weight_of, mpmath.mpf(0)) * (1 - m - s))
                else:
                    total += mpmath.exp(gamma * max(m + weight_of, mpmath.mpf(0)) * (s - m))
            product *= total
        found[i] = mpmath.log1p(product)
    return found


def counted(terms: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return which anchors a mean counts: all that take part, or those with a positive and a negative."""
    batch, counts = Batch(inputs, {}, "cosine"), np.zeros(terms.shape, bool)
    for i in batch.members:
        either = bool(batch.positives(i) and batch.negatives(i))
        counts[i] = options.get("reduction", "mean") == "mean" or either or mpmath.isnan(terms[i])
    return counts


def _cosines(batch: Batch) -> Callable[[int, int], Any]:
    """Return the cosine of an anchor and a row that it is compared with; with a zero row it is 0."""
    own, others = ([mpmath.sqrt(dot(row, row)) for row in rows] for rows in (batch.rows, batch.others))

    @cache
    def cosine(i: int, j: int) -> Any:
        size = own[i] * others[j]
        return dot(batch.rows[i], batch.others[j]) / size if size else mpmath.mpf(0)

    return cosine
