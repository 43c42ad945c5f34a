"""The largest number of positives that an anchor has, where it can be read (spec/pairwise.md, PW-8)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossproof.backends.jax.arrays import Input, on_host
from lossproof.backends.jax.candidates import Sets
from lossproof.spec.arguments import check_most_positives


def most_positives(sets: Sets, max_positives: int | None) -> int:
    """Return the number of columns that hold the positives: read from labels on the host, else the most possible."""
    most, count = _of_sets(sets) if sets.second else _of_batch(sets), sets.candidates.shape[0]
    if most is not None:
        if max_positives is not None:
            check_most_positives(most, max_positives)
        return max(most, 1)
    if max_positives is None:
        return count  # one more than there can be, but for a symbol of `jax.export` nothing is known but that it is 1
    return min(count, int(max_positives)) if isinstance(count, int) else int(max_positives)


def _of_batch(sets: Sets) -> int | None:
    """Return the most positives of an anchor, each being none of its own; None where labels or mask are elsewhere."""
    mask = sets.takes_part
    known, part = on_host(sets.labels), None if mask is None else on_host(mask)
    if known is None or (mask is not None and part is None):
        return None
    return int(np.unique(known if part is None else known[part], return_counts=True)[1].max(initial=1)) - 1


def _of_sets(sets: Sets) -> int | None:
    """Return the most positives of an anchor among the candidates; None where what says so is elsewhere."""
    anchors, others = _at_hand(sets.labels, sets.takes_part), _at_hand(sets.candidate_labels, sets.candidates_take_part)
    index = None if sets.index is None else on_host(sets.index)
    if anchors is None or others is None or (index is None) != (sets.index is None):
        return None
    (labels, part), (names, there) = anchors, others
    own = np.full(len(labels), -1) if index is None else index
    if labels.dtype.kind != names.dtype.kind:  # of labels with a sign and without, those below 0 are of one side alone
        part, there = part & (labels >= 0), there & (names >= 0)
        labels, names = labels.astype(np.uint64), names.astype(np.uint64)
    if not (part.any() and there.any()):
        return 0
    named = (own >= 0) & there[own] & (labels == names[own])
    kinds, often = np.unique(names[there], return_counts=True)
    place = np.minimum(np.searchsorted(kinds, labels), len(kinds) - 1)
    return int((np.where(kinds[place] == labels, often[place], 0) - named)[part].max())


def _at_hand(labels: Input, mask: Input | None) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return labels and mask of one side in the host's memory, or None."""
    known, part = on_host(labels), None if mask is None else on_host(mask)
    if known is None or (mask is not None and part is None):
        return None
    return known, np.ones(known.shape, bool) if part is None else part
