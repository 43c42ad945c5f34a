"""The OIM loss in mpmath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array


def _part(inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    labels = inputs["labels"]
    return np.asarray(inputs.get("mask", np.ones(labels.shape, bool)) & (labels != options.get("unlabelled", -1)))


def terms(inputs: Mapping[str, Array], options: Mapping[str, Any], frozen: Mapping[str, Array]) -> Array:
    """Return the term of each row; 0 where the mask leaves it out, and for a row without an identity."""
    rows, labels = inputs["embeddings"], inputs["labels"]
    memory = [*frozen["lookup_table"], *frozen["queue"]]
    temperature = mpmath.mpf(options.get("temperature", 0.1))
    found = np.full(labels.shape, mpmath.mpf(0), object)
    for i in np.flatnonzero(_part(inputs, options)):
        logits = [mpmath.fsum(x * w for x, w in zip(rows[i], row, strict=True)) / temperature for row in memory]
        found[i] = mpmath.log(mpmath.fsum(mpmath.exp(z - logits[labels[i]]) for z in logits))
    return found


def counted(terms: Array, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> Array:
    """Return which rows a mean counts: those with an identity that take part."""
    return _part(inputs, options)
