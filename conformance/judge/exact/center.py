"""The center loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out."""
    rows, labels, centers = inputs["embeddings"], inputs["labels"], inputs["centers"]
    found = np.full(labels.shape, mpmath.mpf(0), object)
    factor = mpmath.mpf(options.get("factor", 0.5))
    floor, ceiling = mpmath.mpf(options.get("floor", 0.0)), mpmath.mpf(options.get("ceiling", inf))
    for i, label in enumerate(labels):
        if inputs.get("mask", np.ones(labels.shape, bool))[i]:
            square = mpmath.fsum((x - c) ** 2 for x, c in zip(rows[i], centers[label], strict=True))
            if square < floor:  # NaN stays
                square = floor
            elif square > ceiling:
                square = ceiling
            found[i] = factor * square
    return found
