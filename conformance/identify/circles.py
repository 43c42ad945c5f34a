"""Circle losses: the page's, and two that no page has: one logarithm for the batch, and one for each of the sums."""

from __future__ import annotations

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.identify.formulas import Batch, Options, unit

FORMS = ("two softplus", "one softplus for the batch")


def terms(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return the terms of a batch, and which take part."""
    rows, labels, m, gamma = unit(inputs["embeddings"]), inputs["labels"], o["margin"], o["gamma"]
    s, same = rows @ rows.T, labels[:, None] == labels
    positive = -gamma * np.maximum(1 + m - s, 0) * (s - (1 - m))
    negative = gamma * np.maximum(s + m, 0) * (s - m)
    near, far = same & ~np.eye(len(labels), dtype=bool), ~same
    if o["form"] == "one softplus for the batch":
        upper = np.triu(np.ones(s.shape, bool), 1)
        both = _log_sum(positive[near & upper]) + _log_sum(negative[far & upper])
        return np.logaddexp(0.0, both)[None], np.ones(1, bool)
    sums = [_log_sum(np.where(kept, x, -np.inf)) for kept, x in ((near, positive), (far, negative))]
    if o["form"] == "two softplus":
        return np.logaddexp(0.0, sums[0]) + np.logaddexp(0.0, sums[1]), near.any(axis=1) & far.any(axis=1)
    return np.logaddexp(0.0, sums[0] + sums[1]), np.ones(len(labels), bool)  # CI-8: every row counts in a mean


def _log_sum(x: Array) -> Array:
    return np.asarray(np.logaddexp.reduce(x, axis=-1))
