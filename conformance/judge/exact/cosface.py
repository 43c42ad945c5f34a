"""The CosFace loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.arcface import cosine
from lossproof.conformance.judge.exact.cross_entropy import term


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out."""
    rows, labels, weights = inputs["embeddings"], inputs["labels"], inputs["class_weights"]
    found = np.full(labels.shape, mpmath.mpf(0), object)
    scale, margin = mpmath.mpf(options.get("scale", 64.0)), mpmath.mpf(options.get("margin", 0.35))
    for i in np.flatnonzero(inputs.get("mask", np.ones(labels.shape, bool))):
        logits = [scale * cosine(rows[i], weight) for weight in weights]
        logits[labels[i]] -= scale * margin
        found[i] = term(logits, int(labels[i]), mpmath.mpf(0))
    return found
