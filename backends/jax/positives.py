"""The positives of each anchor in order, and what stands below them (spec/pairwise.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient
from numpy.typing import NDArray

from lossproof.backends.jax.arrays import Input, on_host
from lossproof.backends.jax.candidates import Sets
from lossproof.spec.arguments import check_most_positives


class Positives(NamedTuple):
    """The positives of each anchor in K columns, sorted by their distance, and which anchors have more (PW-8)."""

    column: Array  # (B, K), M where there is none
    valid: Array  # (B, K)
    crowded: Array  # (B,)


def sorted_positives(d: Array, positive: Array, sets: Sets, max_positives: int | None) -> Positives:
    """Return the positives of each anchor, nearest first; only they are sorted, never whole rows of distances."""
    (anchors, count), most = d.shape, most_positives(sets, max_positives)
    anchor, column = jnp.arange(anchors)[:, None], jnp.broadcast_to(jnp.arange(count), (anchors, count))
    place = jnp.where(positive, jnp.cumsum(positive, axis=1) - 1, most)
    listed = jnp.full((anchors, most), count).at[anchor, place].set(column, mode="drop")
    last = float(
        np.finfo(d.dtype).max
    )  # no distance is larger, and the sort is stable: those that there are come first
    distances = jnp.where(listed < count, columns(stop_gradient(d), listed), last)
    listed = jnp.take_along_axis(listed, jnp.argsort(distances, axis=1, stable=True), axis=1)
    found = jnp.sum(positive, axis=1)
    return Positives(listed, listed < count, (found > most) & (max_positives is not None))


def ranks(thresholds: Array, d: Array, side: str) -> Array:
    """Return how many of the sorted thresholds (B, K) are below each distance (B, M), or with "right" not above it."""
    most = thresholds.shape[1]
    steps = most.bit_length() if isinstance(most, int) else 31  # jnp.searchsorted takes no symbol of `jax.export`

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = jnp.minimum((low + high) // 2, most - 1)
        there = jnp.take_along_axis(thresholds, middle, axis=1)
        below = (low < high) & (there < d if side == "left" else there <= d)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    zero = jnp.where(d < 0, jnp.int32(0), jnp.int32(0))  # in shard_map as different on each device as what it will hold
    ends = zero, zero + jnp.int32(most)
    found: Array = jax.lax.fori_loop(0, steps, halve, ends)[0]
    return found


def columns(values: Array, index: Array) -> Array:
    """Return values (B, M) at the columns `index`, and 0 at column M."""
    return jnp.take_along_axis(jnp.pad(values, ((0, 0), (0, 1))), index, axis=1)


def spread_out(values: Array, index: Array, count: int) -> Array:
    """Return an array (B, `count`) with values at the columns `index`, those at column `count` dropped."""
    anchors = values.shape[0]
    return jnp.zeros((anchors, count), values.dtype).at[jnp.arange(anchors)[:, None], index].set(values, mode="drop")


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
    index = None if sets.named is None else on_host(sets.named)
    if anchors is None or others is None or (index is None) != (sets.named is None):
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
