"""The circle loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each anchor; 0 where the mask leaves it out."""
    labels, chosen = inputs["labels"], _rows(inputs)
    m, gamma = mpmath.mpf(options.get("margin", 0.25)), mpmath.mpf(options.get("gamma", 256.0))
    of_weights = frozen if options.get("detach_weights", True) else inputs
    found = np.full(labels.shape, mpmath.mpf(0), object)
    spoilt = any(mpmath.isnan(x) for i in chosen for x in inputs["embeddings"][i])
    for i in chosen:
        if spoilt:
            found[i] = mpmath.nan
            continue
        product = mpmath.mpf(1)
        for positive in (True, False):
            others = [j for j in chosen if j != i and (labels[j] == labels[i]) == positive]
            total = mpmath.mpf(0)
            for j in others:
                s, weight_of = _cosine(inputs["embeddings"], i, j), _cosine(of_weights["embeddings"], i, j)
                if positive:
                    total += mpmath.exp(gamma * max(1 + m - weight_of, mpmath.mpf(0)) * (1 - m - s))
                else:
                    total += mpmath.exp(gamma * max(m + weight_of, mpmath.mpf(0)) * (s - m))
            product *= total
        found[i] = mpmath.log1p(product)
    return found


def counted(terms: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return which anchors a mean counts: all that take part, or those with a positive and a negative."""
    chosen, labels, counts = _rows(inputs), inputs["labels"], np.zeros(terms.shape, bool)
    for i in chosen:
        alike = sum(bool(labels[j] == labels[i]) for j in chosen)
        counts[i] = options.get("reduction", "mean") == "mean" or 1 < alike < len(chosen) or mpmath.isnan(terms[i])
    return counts


def _rows(inputs: Mapping[str, Array]) -> list[int]:
    mask = inputs.get("mask", np.ones(inputs["labels"].shape, bool))
    return [i for i in range(len(mask)) if mask[i]]


def _cosine(rows: Array, i: int, j: int) -> Any:
    inner = mpmath.fsum(a * b for a, b in zip(rows[i], rows[j], strict=True))
    lengths = [mpmath.sqrt(mpmath.fsum(a * a for a in rows[k])) for k in (i, j)]
    return inner / (lengths[0] * lengths[1]) if all(lengths) else mpmath.mpf(0)
