"""The positives of each anchor, one after the other (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from lossproof.backends.jax.arrays import Input, on_host
from lossproof.backends.jax.candidates import Sets
from lossproof.spec.arguments import check_most_positives

State = TypeVar("State")
_TOGETHER = 4  # positives of a step: what they change in (B, M) numbers is read and written once for all of them


class Runs(NamedTuple):
    """The candidates sorted by their labels, so that the positives of an anchor stand in a run."""

    order: Array  # (M,), those that take no part last
    first: Array  # (1, B), the place of the first positive, M where there is none
    longest: Array  # (), rows of the longest run: read nowhere, so that nothing depends on where the labels lie


def runs(positive: Array, sets: Sets) -> Runs:
    """Return the runs of the positives (B, M)."""
    labels, part, count = jnp.asarray(sets.candidate_labels), sets.candidates_take_part, positive.shape[1]
    order = jnp.argsort(labels) if part is None else jnp.lexsort((labels, ~jnp.asarray(part)))
    order = order.astype(jnp.int32)
    place = jnp.zeros(labels.shape, jnp.int32).at[order].set(jnp.arange(count, dtype=jnp.int32))
    first = jnp.min(jnp.where(positive, place[None], count), axis=1, keepdims=True).T
    longest = jnp.max(jnp.sum(positive, axis=1, dtype=jnp.int32)) + 1  # the anchor itself may stand among them
    return Runs(order, first, longest)


def over_positives(step: Callable[[Array, Array, State], State], state: State, positive: Array, found: Runs) -> State:
    """Return the state after steps that take the next few positives of every anchor, until none has another.

    A step is given their columns (N, B), M where there is none, which of them there are, (N, B), and the state. The
    number of steps is that of the longest run: nothing is as long as the most positives that there could be.
    """
    count, group = positive.shape[1], jnp.arange(_TOGETHER, dtype=jnp.int32)[:, None]

    def more(carry: tuple[Array, State]) -> Array:
        return carry[0] < found.longest

    def take(carry: tuple[Array, State]) -> tuple[Array, State]:
        taken, state = carry
        places = found.first + taken + group
        column = found.order[jnp.minimum(places, count - 1)]
        there = (places < count) & of_anchors(positive, column)
        return taken + _TOGETHER, step(jnp.where(there, column, count), there, state)

    start = found.longest * 0  # and no constant: under vmap over a mesh both lie where the labels lie
    return jax.lax.while_loop(more, take, (start, state))[1]


def of_anchors(values: Array, column: Array) -> Array:
    """Return values (B, M) at columns (N, B) of each anchor, those beyond the last one at the last one."""
    return values[jnp.arange(values.shape[0])[None], jnp.minimum(column, values.shape[1] - 1)]


def put(values: Array, column: Array, found: Array) -> Array:
    """Return values (B, M) with others (N, B) at columns (N, B) of each anchor, those beyond the last one dropped."""
    rows, at = jnp.arange(values.shape[0])[None], jnp.minimum(column, values.shape[1] - 1)
    change = jnp.where(column < values.shape[1], found - values[rows, at], 0)  # no index is out of bounds: CV-36
    return values.at[rows, at].add(change)


def whole_numbers(most: int, dtype: Any) -> Any:
    """Return the dtype for whole numbers up to `most`: a float where it holds them, for XLA on a CPU is faster."""
    held = isinstance(most, int) and most <= 2.0 ** (np.finfo(dtype).nmant + 1)  # not a symbol of `jax.export`
    return dtype if held else jnp.int32


def crowded(positive: Array, sets: Sets, max_positives: int | None) -> Array:
    """Return which anchors have more than `max_positives` positives: an error where they are read (PW-8)."""
    if max_positives is None:
        return jnp.zeros(positive.shape[0], bool)
    most = _of_sets(sets) if sets.second else _of_batch(sets)
    if most is not None:
        check_most_positives(most, max_positives)
    return jnp.sum(positive, axis=1, dtype=jnp.int32) > min(max_positives, np.iinfo(np.int32).max)


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
