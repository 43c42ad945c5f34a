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
    logits, labels, weights = inputs["logits"], inputs["labels"], frozen.get("class_weights")
    found = np.full(labels.shape, mpmath.mpf(0), object)
    for i in np.flatnonzero(inputs.get("mask", np.ones(labels.shape, bool))):
        found[i] = term(list(logits[i]), int(labels[i]), mpmath.mpf(options.get("label_smoothing", 0.0)), weights)
    return found


def of_units(inputs: Mapping[str, Array]) -> Array | None:
    """Return the class weight of each row's label, which a mean counts it with (CE-14); None without class weights."""
    if "class_weights" not in inputs:
        return None
    within = inputs["labels"] * inputs.get("mask", np.ones(inputs["labels"].shape, bool))
    return np.asarray(inputs["class_weights"][within])


def term(row: list[Any], label: int, smoothing: Any, weights: Array | None = None) -> Any:
    """Return minus the sum of the target's shares, by weight, times the logarithms of the softmax."""
    with mpmath.workdps(_DIGITS):
        normaliser = mpmath.log(mpmath.fsum(mpmath.exp(z) for z in row))
        total = mpmath.mpf(0)
        for k, z in enumerate(row):
            share = smoothing / len(row) + ((1 - smoothing) if k == label else 0)
            share *= 1 if weights is None else weights[k]
            if share != 0 or mpmath.isnan(z):
                total += share * (normaliser - z)
    return total if mpmath.isfinite(total) or mpmath.isinf(total) else mpmath.nan
