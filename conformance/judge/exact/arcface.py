"""The ArcFace loss in mpmath: with angles, as the paper writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.cross_entropy import term


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out."""
    rows, labels, weights = inputs["embeddings"], inputs["labels"], inputs["class_weights"]
    found = np.full(labels.shape, mpmath.mpf(0), object)
    scale = mpmath.mpf(options.get("scale", 64.0))
    for i in np.flatnonzero(inputs.get("mask", np.ones(labels.shape, bool))):
        logits = []
        for j, weight in enumerate(weights):
            theta = _angle(rows[i], weight)
            logits.append(scale * (_with_margin(theta, options) if j == labels[i] else mpmath.cos(theta)))
        found[i] = term(logits, int(labels[i]), mpmath.mpf(0))
    return found


def cosine(x: Array, w: Array) -> Any:
    """Return the cosine of the angle between two rows, 0 where one of them is 0."""
    lengths = mpmath.sqrt(mpmath.fsum(a * a for a in x)) * mpmath.sqrt(mpmath.fsum(b * b for b in w))
    inner = mpmath.fsum(a * b for a, b in zip(x, w, strict=True))
    if mpmath.isnan(inner) or mpmath.isnan(lengths):
        return mpmath.nan
    return inner / lengths if lengths else mpmath.mpf(0)


def _angle(x: Array, w: Array) -> Any:
    c = cosine(x, w)
    return c if mpmath.isnan(c) else mpmath.acos(1 if c > 1 else -1 if c < -1 else c)


def _with_margin(theta: Any, options: Mapping[str, Any]) -> Any:
    margin, beyond = mpmath.mpf(options.get("margin", 0.5)), options.get("beyond_pi", "keep")
    if beyond == "keep" or not theta + margin > mpmath.pi:
        return mpmath.cos(theta + margin)
    return mpmath.cos(theta) + (-margin * mpmath.sin(margin) if beyond == "linear" else mpmath.cos(margin) - 1)
