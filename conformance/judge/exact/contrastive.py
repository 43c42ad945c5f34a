"""The contrastive loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.distances import distance


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each pair; 0 where the mask leaves it out."""
    x, y, apart = inputs["x1"], inputs["x2"], inputs["dissimilar"]
    found = np.full(apart.shape, mpmath.mpf(0), object)
    d = distance(options, default_eps=0.0)
    margin, factor = mpmath.mpf(options.get("margin", 1.0)), mpmath.mpf(options.get("factor", 0.5))
    for place in np.ndindex(found.shape):
        if not inputs.get("mask", np.ones(found.shape, bool))[place]:
            continue
        length = d(x[place], y[place])
        if not apart[place]:
            found[place] = factor * length**2
        elif not margin <= length:  # NaN stays
            found[place] = factor * (margin - length) ** 2
    return found
