"""The triplet margin loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.distances import distance


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out."""
    a, p, n = (inputs[name] for name in ("anchor", "positive", "negative"))
    found = np.full(a.shape[:-1], mpmath.mpf(0), object)
    d, margin = distance(options), mpmath.mpf(options.get("margin", 1.0))
    for place in np.ndindex(found.shape):
        if not inputs.get("mask", np.ones(found.shape, bool))[place]:
            continue
        far = d(a[place], n[place])
        if options.get("swap", False):
            near = d(p[place], n[place])
            far = near if near < far else far
        gap = d(a[place], p[place]) - far
        if options.get("soft_margin", False):
            found[place] = mpmath.log1p(mpmath.exp(gap))
        else:
            found[place] = mpmath.mpf(0) if margin + gap <= 0 else margin + gap
    return found


def counted(found: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return which rows the mean counts."""
    counts = np.array(inputs.get("mask", np.ones(found.shape, bool)))
    if options.get("reduction") != "mean_nonzero" or options.get("soft_margin", False):
        return counts
    return np.asarray(counts & np.array([not term <= 0 for term in found.ravel()], bool).reshape(found.shape))
