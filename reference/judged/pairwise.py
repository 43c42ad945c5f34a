"""The pairs of a batch as the judge asks about them (spec/pairwise.md)."""

from __future__ import annotations

import numpy as np

from lossproof.reference.distances import RowDistance
from lossproof.reference.judged.decisions import Decisions
from lossproof.reference.judged.distances import Judged, judged
from lossproof.reference.pairwise import Batch
from lossproof.reference.typing import Array


def undecided_pairs(every: RowDistance) -> Judged:
    """Return the distances of all pairs, (B, M), with the decisions of no pair."""
    return judged(every, "", Decisions(None, np.ones(every.value.shape, bool)))


def reach(every: Judged, batch: Batch) -> Array:
    """Return the error scales of all pairs, (B, M), which say what is undecided: with "gram" those of `centred`."""
    if batch.pairwise == "direct" or batch.distance == "cosine":  # PW-6
        return every.scale
    energy = np.max(np.sum(batch.sets.centred() ** 2, axis=-1), initial=0.0)
    if batch.distance == "squared_euclidean":
        return np.asarray(every.scale + energy)
    spread: Array = every.scale + np.divide(
        energy, every.value, out=np.full_like(every.value, np.inf), where=every.value > 0
    )
    return spread
