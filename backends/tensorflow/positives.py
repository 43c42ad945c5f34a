"""The positives of each anchor in a few sorted columns (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, followed, on_host
from lossproof.backends.tensorflow.candidates import Sets
from lossproof.spec.arguments import check_most_positives


class Positives(NamedTuple):
    """The positives of each anchor in K columns, sorted by their distance, and which anchors have more (PW-8)."""

    column: tf.Tensor  # (B, K), M where there is none
    valid: tf.Tensor  # (B, K)
    crowded: tf.Tensor  # (B,)


def sorted_positives(d: tf.Tensor, sets: Sets, positive: tf.Tensor, max_positives: int | None) -> Positives:
    """Return the positives of each anchor, nearest first; only they are sorted, never whole rows of distances."""
    count, most = number_of_candidates(sets), _most(sets, max_positives)
    order, first, after = _groups(sets, count)
    room = most if sets.itself is None else _least(most + 1, count)  # the anchor itself may be among them
    slots = first[:, tf.newaxis] + tf.range(room)
    index = tf.gather(order, tf.minimum(slots, count - 1))
    valid = slots < after[:, tf.newaxis]
    if sets.second:
        valid = valid & tf.gather(positive, index, batch_dims=1)
    else:
        valid = valid & tf.not_equal(index, tf.range(count)[:, tf.newaxis])
        valid = valid if sets.takes_part is None else valid & sets.takes_part[:, tf.newaxis]
    distances = filled(tf.gather(tf.stop_gradient(d), index, batch_dims=1), ~valid, d.dtype.max)
    sorting = tf.argsort(distances, axis=1)
    valid = tf.gather(valid, sorting, batch_dims=1)
    index = tf.where(valid, tf.gather(index, sorting, batch_dims=1), count)
    if max_positives is None:
        return Positives(index, valid, tf.zeros_like(first, tf.bool))
    return Positives(index, valid, tf.math.count_nonzero(positive, axis=-1, dtype=tf.int32) > most)


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
    """Return values (B, M) at the columns `index`, and 0 at column M."""
    return tf.gather(tf.pad(values, [[0, 0], [0, 1]]), index, batch_dims=1)


def spread_out(values: tf.Tensor, index: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return an array (B, M) with values at the columns `index`, those at column M, the `count`, dropped."""
    return collected(values, index, count + 1, tf.math.unsorted_segment_sum)[:, :-1]


def collected(values: tf.Tensor, place: tf.Tensor, places: tf.Tensor, combine: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Combine, in each row, the values (B, K) that share a place, 0 <= place < places: (B, places)."""
    count = tf.shape(values)[0]
    segments = place + places * tf.range(count)[:, tf.newaxis]
    flat = combine(tf.reshape(values, [-1]), tf.reshape(segments, [-1]), count * places)
    return tf.reshape(flat, [count, places])
