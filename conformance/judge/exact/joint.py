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
    rows = int(np.count_nonzero(inputs.get("mask", np.ones(inputs["labels"].shape, bool))))
    smoothing = {"label_smoothing": options.get("label_smoothing", 0.1)}
    hinge = {"margin": options.get("triplet_margin", 0.3)}
    own = _mean(cross_entropy.terms(inputs, smoothing, frozen), rows)
    anchors = batch_hard.terms(inputs, hinge, frozen)
    triplet = _mean(anchors, batch_hard.denominator(anchors, frozen, hinge))
    pull = _mean(center.terms(inputs, {"factor": 1.0}, frozen), rows)
    w_t, w_c = (mpmath.mpf(options.get(name, default)) for name, default in WEIGHTS)
    return np.array(own + w_t * triplet + w_c * pull, object)


WEIGHTS = (("triplet_weight", 1.0), ("center_weight", 5e-4))


def _mean(found: Array, count: int) -> Any:
    return mpmath.fsum(found) / max(count, 1)
