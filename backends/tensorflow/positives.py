"""The positives of each anchor, one after the other (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import followed, on_host
from lossproof.backends.tensorflow.candidates import Sets
from lossproof.spec.arguments import check_most_positives

_MOST = 16  # positives of an anchor: with a pass over the distances for each, more are slower than their ranks


class Positives(NamedTuple):
    """The positives of each anchor: a run of the candidates, in an order in which those of one label stand together."""

    order: tf.Tensor  # (M,)
    first: tf.Tensor  # (B,), the places of a run in it
    after: tf.Tensor  # (B,)
    own: tf.Tensor | None  # (B,), the place of the anchor itself, M where it has none; None: none has
    positive: tf.Tensor  # (B, M)
    number: tf.Tensor  # (B,), of positives
    most: int | tf.Tensor  # K, the most that are looked at
    few: bool  # whether K is known to be small
    crowded: tf.Tensor  # (B,), which anchors have more: PW-8

    def at(self, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the k-th positive of each anchor, or some of them, (B, K), and whether there is one."""
        slots = self.first[:, tf.newaxis] + k
        if self.own is not None:  # PW-2, PW-10: the anchor itself is passed over
            passed = (self.own >= self.first)[:, tf.newaxis] & (slots >= self.own[:, tf.newaxis])
            slots += tf.cast(passed, tf.int32)
        column = tf.gather(self.order, tf.minimum(slots, tf.size(self.order) - 1))
        return column, (slots < self.after[:, tf.newaxis]) & columns(self.positive, column)

    def passes(self, each: Callable[..., Any], ranked: Callable[[], Any], *start: tf.Tensor) -> Any:
        """Return what `each`, called for one positive after the other, makes of `start`; of many, `ranked` says it.

        Where the labels are not on the host, the most positives that an anchor has are known when the graph runs.
        """
        if isinstance(self.most, int) and self.most == 0:
            return start
        last = self.most if self.few else tf.minimum(tf.reduce_max(self.number), self.most)

        def further(k: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return k < last

        def step(k: tf.Tensor, *made: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return k + 1, *each(k, *made)

        def all_of_them() -> Any:
            return tf.while_loop(further, step, (tf.constant(0), *start), parallel_iterations=1)[1:]

        return all_of_them() if self.few else tf.cond(last <= _MOST, all_of_them, ranked)


def positives(sets: Sets, positive: tf.Tensor, max_positives: int | None) -> Positives:
    """Return the positives of each anchor in the order of their labels; whole rows of distances are never sorted."""
    count, most = number_of_candidates(sets), _most(sets, max_positives)
    order, first, after = _groups(sets, count)
    own = None if sets.itself is None else _own_places(sets, order, count)
    number = number_of(positive)
    crowded = tf.zeros_like(first, tf.bool) if max_positives is None else number > most
    known = [bound for bound in (most, max_positives) if bound is not None and not tf.is_tensor(bound)]
    few = any(bound <= _MOST for bound in known)
    return Positives(order, first, after, own, positive, number, most, few, crowded)


def number_of(chosen: tf.Tensor) -> tf.Tensor:
    """Return how many of each row are chosen."""
    return tf.reduce_sum(tf.cast(chosen, tf.int32), axis=-1)


def number_of_candidates(sets: Sets) -> int | tf.Tensor:
    """Return M, a number on the host where it is known."""
    return tf.shape(sets.same)[1] if sets.same.shape[1] is None else int(sets.same.shape[1])


def _least(a: int | tf.Tensor, b: int | tf.Tensor) -> int | tf.Tensor:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else tf.minimum(a, b)


def _groups(sets: Sets, count: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return an order of the candidates, and the range of places in it, (B,) each, that have the label of an anchor."""
    labels, names = tf.cast(sets.labels, tf.int64), tf.cast(sets.candidate_labels, tf.int64)
    order, last = tf.argsort(names, stable=True), count
    grouped = tf.gather(names, order)
    if sets.candidates_take_part is not None:
        takes_part = tf.gather(sets.candidates_take_part, order)
        order = tf.gather(order, tf.argsort(tf.cast(~takes_part, tf.int32), stable=True))
        last = tf.math.count_nonzero(takes_part, dtype=tf.int32)  # those that take part come first
        grouped = tf.where(tf.range(count) < last, tf.gather(names, order), tf.int64.max)
    return order, ranks(grouped, labels, "left"), tf.minimum(ranks(grouped, labels, "right"), last)


def _own_places(sets: Sets, order: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return the place in an order of the candidates of the one that is the anchor, or their number where none is."""
    places = tf.argsort(order)
    if not sets.second:
        return places
    named = tf.cast(sets.named, tf.int32)
    there = (named >= 0) & (named < count)
    return tf.where(there, tf.gather(followed(places, 0), tf.where(there, named, 0)), count)


def _most(sets: Sets, max_positives: int | None) -> int | tf.Tensor:
    """Return the number of columns that hold the positives: read from labels on the host, else the most possible."""
    most = number_of_candidates(sets)
    if not sets.second:
        most = max(most - 1, 0) if isinstance(most, int) else tf.maximum(most - 1, 0)
    sides = (sets.labels, sets.takes_part, sets.candidate_labels, sets.candidates_take_part, sets.named)
    if all(part is None or on_host(part) for part in sides):
        most = _most_of_sets(*sides) if sets.second else _most_of_batch(sets.labels, sets.takes_part)
        if max_positives is not None:
            check_most_positives(most, max_positives)  # PW-8
    return most if max_positives is None else _least(most, int(max_positives))


def _most_of_batch(labels: Any, mask: tf.Tensor | None) -> int:
    known = np.asarray(labels) if mask is None else np.asarray(labels)[np.asarray(mask)]
    return int(np.unique(known, return_counts=True)[1].max(initial=1)) - 1


def _most_of_sets(labels: Any, takes_part: Any, names: Any, chosen: Any, index: Any) -> int:
    """Return the largest number of positives of an anchor that takes part, of arrays on the host."""
    labels, names = np.asarray(labels), np.asarray(names)
    chosen = np.ones(len(names), bool) if chosen is None else np.asarray(chosen)
    values, counts = np.unique(names[chosen], return_counts=True)
    known = dict(zip(values.tolist(), counts.tolist(), strict=True))  # as integers, of whatever dtype they are
    found = [known.get(label, 0) for label in labels.tolist()]
    if index is not None and len(names):
        own = np.asarray(index)
        place = np.clip(own, 0, len(names) - 1)
        found -= (own == place) & chosen[place] & (names[place] == labels)
    part = np.asarray(found, np.int64) if takes_part is None else np.asarray(found, np.int64)[np.asarray(takes_part)]
    return int(part.max(initial=0))


def ranks(thresholds: tf.Tensor, d: tf.Tensor, side: str) -> tf.Tensor:
    """Return how many of the sorted thresholds (..., K) are below each of (..., B), or with "right" not above it."""
    padded = followed(thresholds, thresholds.dtype.max)  # tf.searchsorted cannot work along an axis without entries
    return tf.searchsorted(padded, followed(d, 0), side=side)[..., :-1]


def columns(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Return values (B, M) at the columns `index`."""
    return tf.gather(values, index, batch_dims=1)


def spread_out(values: tf.Tensor, index: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return an array (B, M) with the sums of the values that have a column, M being the `count`."""
    return collected(values, index, count, tf.math.unsorted_segment_sum)


def collected(values: tf.Tensor, place: tf.Tensor, places: tf.Tensor, combine: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Combine, in each row, the values (B, K) that share a place, 0 <= place < places: (B, places)."""
    count = tf.shape(values)[0]
    segments = place + places * tf.range(count)[:, tf.newaxis]
    flat = combine(tf.reshape(values, [-1]), tf.reshape(segments, [-1]), count * places)
    return tf.reshape(flat, [count, places])
