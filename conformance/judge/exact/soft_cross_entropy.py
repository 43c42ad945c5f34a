"""The soft cross-entropy loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array

_DIGITS = 400  # a difference of two terms shows a probability of 1e-300


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out."""
    logits, targets = inputs["logits"], inputs["targets"]
    weights = frozen.get("class_weights", np.full(logits.shape[1:], mpmath.mpf(1), object))
    found, smoothing = np.full(len(logits), mpmath.mpf(0), object), mpmath.mpf(options.get("label_smoothing", 0.0))
    for i in np.flatnonzero(inputs.get("mask", np.ones(len(logits), bool))):
        there = _there(frozen["logits"][i], frozen["targets"][i], smoothing, weights)
        shares = [weights[k] * ((1 - smoothing) * targets[i, k] + smoothing / logits.shape[1]) for k in there]
        found[i] = _term([logits[i, k] for k in there], shares)
    return found


def _there(row: Array, targets: Array, smoothing: Any, weights: Array) -> list[int]:
    """Return the classes of a row less those that ST-9 and ST-20 leave out."""
    shared = [weights[k] != 0 and (smoothing > 0 or targets[k] != 0) for k in range(len(row))]
    return [k for k, z in enumerate(row) if z != -mpmath.inf or shared[k]]


def _term(row: list[Any], shares: list[Any]) -> Any:
    """Return minus the sum of the shares times the logarithms of the probabilities, each of which is written out."""
    with mpmath.workdps(_DIGITS):
        if any(mpmath.isnan(x) for x in (*row, *shares)):
            return mpmath.nan
        powers = [mpmath.exp(z) for z in row]
        total = mpmath.fsum(powers)
        if any(share > 0 and power == 0 for share, power in zip(shares, powers, strict=True)):
            return mpmath.inf
        return -mpmath.fsum(
            share * mpmath.log(power / total) for share, power in zip(shares, powers, strict=True) if power
        )
