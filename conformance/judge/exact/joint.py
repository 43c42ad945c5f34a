"""The joint loss in mpmath: the means of three losses, each typed apart from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact import batch_hard, center, cross_entropy


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the loss, an array of shape ()."""
    rows = inputs.get("mask", np.ones(inputs["labels"].shape, bool))
    weights = frozen.get("weights", np.full(rows.shape, mpmath.mpf(1), object))
    smoothing = {"label_smoothing": options.get("label_smoothing", 0.1)}
    hinge = {"margin": options.get("triplet_margin", 0.3)}
    own = _mean(cross_entropy.terms(inputs, smoothing, frozen), rows, weights)
    anchors = batch_hard.terms(inputs, hinge, frozen)
    triplet = _mean(anchors, batch_hard.counted(anchors, frozen, hinge), weights)
    pull = _mean(center.terms(inputs, {"factor": 1.0}, frozen), rows, weights)
    w_t, w_c = (mpmath.mpf(options.get(name, default)) for name, default in WEIGHTS)
    return np.array(own + w_t * triplet + w_c * pull, object)


WEIGHTS = (("triplet_weight", 1.0), ("center_weight", 5e-4))


def _mean(found: Array, counted: Array, weights: Array) -> Any:
    total = mpmath.fsum(w * t for w, t in zip(weights, found, strict=True) if w and t != 0)
    return total / (mpmath.fsum(weights[counted]) or 1)
