"""The cross-entropy loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array

_DIGITS = 400  # a difference of two terms shows a probability of 1e-300


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out."""
    logits, labels = inputs["logits"], inputs["labels"]
    found = np.full(labels.shape, mpmath.mpf(0), object)
    for i in np.flatnonzero(inputs.get("mask", np.ones(labels.shape, bool))):
        found[i] = term(list(logits[i]), int(labels[i]), mpmath.mpf(options.get("label_smoothing", 0.0)))
    return found


def term(row: list[Any], label: int, smoothing: Any) -> Any:
    """Return minus the sum of the target's shares times the logarithms of the softmax."""
    with mpmath.workdps(_DIGITS):
        normaliser = mpmath.log(mpmath.fsum(mpmath.exp(z) for z in row))
        total = mpmath.mpf(0)
        for k, z in enumerate(row):
            share = smoothing / len(row) + ((1 - smoothing) if k == label else 0)
            if share != 0:
                total += share * (normaliser - z)
    return total if mpmath.isfinite(total) or mpmath.isinf(total) else mpmath.nan
