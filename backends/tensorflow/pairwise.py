"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, followed, number, on_host, spoilt
from lossproof.backends.tensorflow.distances import row_distance
from lossproof.spec.arguments import check_most_positives

_BLOCK = 2**22  # numbers in a block of differences


def candidates(labels: tf.Tensor, mask: tf.Tensor | None, *, include_self: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    labels = tf.convert_to_tensor(labels)
    same = tf.equal(labels[:, tf.newaxis], labels)  # CV-32
    positive, negative = same, ~same
    if not include_self:
        positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    if mask is not None:
        both = mask[:, tf.newaxis] & mask
        positive, negative = positive & both, negative & both
    return positive, negative


def floored_distance(x: tf.Tensor, y: tf.Tensor, distance: str, floor: float) -> tf.Tensor:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    lowest = number(floor, d.dtype)
    return tf.where(d <= lowest, lowest, d) if floor else d


def over_rows(f: Callable[..., tf.Tensor], rows: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
    """Map a function of some rows (b, D), and of the same rows of `others`, over blocks; it returns (b, ...)."""
    if rows.shape.is_fully_defined() and rows.shape.num_elements() * rows.shape[0] <= _BLOCK:
        return f(rows, *others)  # one block; TensorFlow has no forward mode of a loop in a graph
    count = tf.shape(rows)[0]
    block = tf.clip_by_value(_BLOCK // tf.maximum(tf.size(rows), 1), 1, tf.maximum(count, 1))
    blocks = tf.maximum(-(-count // block), 1)

    def split(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.pad(x, [[0, blocks * block - count], [0, 0]]), [blocks, block, tf.shape(x)[1]])

    mapped = tf.map_fn(lambda some: f(*some), (split(rows), *map(split, others)), fn_output_signature=rows.dtype)
    return tf.reshape(mapped, tf.concat([[blocks * block], tf.shape(mapped)[2:]], 0))[:count]


def mining_distances(rows: tf.Tensor, distance: str) -> tf.Tensor:
    """Return numbers (B, B) in the order of the distances, from differences of rows; they have no gradient."""
    rows = tf.stop_gradient(rows)

    def squares(some: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.math.squared_difference(some[:, tf.newaxis], rows), axis=-1)

    d = 1.0 - products(units(rows)) if distance == "cosine" else tf.stop_gradient(over_rows(squares, rows))
    largest = tf.constant(rows.dtype.max, d.dtype)
    return tf.where(d < largest, d, largest)  # also where it is NaN, which `poisoned` says; a graph makes >= of not <


def units(rows: tf.Tensor) -> tf.Tensor:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True))
    rows = rows / filled(largest, largest < _smallest(rows.dtype), 1.0)
    square = tf.reduce_sum(rows * rows, axis=-1, keepdims=True)
    zero = tf.equal(square, 0.0)
    return filled(rows / tf.sqrt(filled(square, zero, 1.0)), zero, 0.0)


def products(rows: tf.Tensor) -> tf.Tensor:
    """Return the inner products of every two rows, summed in float64, which no ambient switch makes coarser: CV-20."""
    wide = tf.cast(rows, tf.float64)
    return tf.cast(tf.matmul(wide, wide, transpose_b=True), rows.dtype)


def lowest_index(values: tf.Tensor, among: tf.Tensor, *, largest: bool) -> tf.Tensor:
    """Return the index of the largest or smallest value of each row among its candidates; B where there are none."""
    key = values if largest else -values
    best = tf.reduce_max(filled(key, ~among, key.dtype.min), axis=-1, keepdims=True)
    chosen = 2 * tf.cast(among & (key >= best), tf.int32)  # validity first, then the value, then the index
    return tf.argmax(followed(chosen, 1), axis=-1)


def poisoned(terms: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Return NaN for every term if a row that takes part holds NaN: each is a candidate of every anchor (PW-5)."""
    return spoilt(terms, tf.reduce_any(tf.math.is_nan(rows)))


def _smallest(dtype: tf.DType) -> float:
    return 2.0**-1022 if dtype == tf.float64 else 2.0**-126


def distance_matrix(rows: tf.Tensor, whole: tf.Tensor, distance: str, pairwise: str) -> tf.Tensor:
    """Return the distances (B, B) of rows that are finite; `whole` says which take part as they were given: PW-6."""
    if distance == "cosine":
        return 1.0 - products(units(rows))
    square = _squares(rows) if pairwise == "direct" else _gram(rows, whole)
    zero = square <= 0
    d = tf.sqrt(filled(square, zero, 1.0)) if distance == "euclidean" else square
    largest = tf.constant(rows.dtype.max / 4, d.dtype)
    return tf.cast(filled(tf.where(d > largest, largest, d), zero, 0.0), rows.dtype)  # DI-15, CV-19


def _gram(rows: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
    """Return |x|^2 + |y|^2 - 2 x.y in float64, of rows from which their origin is subtracted: grade `centred`."""
    wide = tf.cast(rows, tf.float64)
    limit = 0.25 * (tf.float64.max / tf.cast(tf.shape(rows)[1], tf.float64)) ** 0.5
    shifted = wide - _origin(tf.stop_gradient(wide), whole, limit)
    shifted = tf.where(tf.abs(shifted) > limit, tf.sign(tf.stop_gradient(shifted)) * limit, shifted)  # CV-19
    inner = tf.matmul(shifted, shifted, transpose_b=True)
    squares = tf.linalg.diag_part(inner)
    return squares[:, tf.newaxis] + squares - 2.0 * inner


def _origin(rows: tf.Tensor, whole: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Return the mean of the rows that take part, 4 bits of it seen from one of them: dyadic rows stay dyadic."""
    first = tf.gather(tf.pad(rows, [[0, 1], [0, 0]]), tf.argmax(tf.pad(tf.cast(whole, tf.int32), [[0, 1]])))
    away = filled(tf.clip_by_value(rows - first, -limit, limit), ~whole[:, tf.newaxis], 0.0)
    count = tf.cast(tf.maximum(tf.math.count_nonzero(whole), 1), rows.dtype)
    mean = tf.reduce_sum(away, axis=0) / count
    carry = mean * (2.0**49 + 1)  # Veltkamp's splitting
    return first + (carry - (carry - mean))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _squares(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return sums of squared differences of every two rows, forward and backward in blocks: never B x B x D."""

    def differences(some: tf.Tensor) -> tf.Tensor:
        limit = 0.25 * float(rows.dtype.max) ** 0.5
        return tf.clip_by_value(some[:, tf.newaxis] - rows, -limit, limit)  # CV-19

    def gradient(weights: tf.Tensor) -> tf.Tensor:
        both = weights + tf.transpose(weights)
        return over_rows(lambda some, w: tf.reduce_sum(2.0 * w[..., tf.newaxis] * differences(some), 1), rows, both)

    return over_rows(lambda some: tf.reduce_sum(differences(some) ** 2, axis=-1), rows), gradient


class Positives(NamedTuple):
    """The positives of each anchor in K columns, sorted by their distance, and which anchors have more (PW-8)."""

    column: tf.Tensor  # (B, K), B where there is none
    valid: tf.Tensor  # (B, K)
    crowded: tf.Tensor  # (B,)


def sorted_positives(d: tf.Tensor, labels: Any, mask: tf.Tensor | None, max_positives: int | None) -> Positives:
    """Return the positives of each anchor, nearest first; only they are sorted, never whole rows of distances."""
    count, most = tf.shape(d)[0], _most(labels, mask, max_positives)
    labels, arange = tf.cast(labels, tf.int64), tf.range(count)
    takes_part = tf.ones_like(labels, dtype=tf.bool) if mask is None else mask
    order = tf.argsort(labels, stable=True)
    order = tf.gather(order, tf.argsort(tf.cast(~tf.gather(takes_part, order), tf.int32), stable=True))
    last = tf.math.count_nonzero(takes_part, dtype=tf.int32)  # those that take part come first
    grouped = tf.where(arange < last, tf.gather(labels, order), tf.int64.max)
    first = ranks(grouped, labels, "left")
    after = tf.minimum(ranks(grouped, labels, "right"), last)
    found = tf.where(takes_part, after - first - 1, -1)
    slots = first[:, tf.newaxis] + tf.range(most + 1)
    index = tf.gather(order, tf.minimum(slots, count - 1))
    valid = (slots < (first + found + 1)[:, tf.newaxis]) & tf.not_equal(index, arange[:, tf.newaxis])
    distances = filled(tf.gather(tf.stop_gradient(d), index, batch_dims=1), ~valid, d.dtype.max)
    sorting = tf.argsort(distances, axis=1)
    valid = tf.gather(valid, sorting, batch_dims=1)
    index = tf.where(valid, tf.gather(index, sorting, batch_dims=1), count)
    crowded = tf.zeros_like(takes_part) if max_positives is None else found > most
    return Positives(index, valid, crowded)


def _most(labels: Any, mask: tf.Tensor | None, max_positives: int | None) -> int | tf.Tensor:
    """Return the number of columns that hold the positives: read from labels on the host, else the most possible."""
    most = tf.maximum(tf.shape(labels)[0] - 1, 0)
    if on_host(labels) and (mask is None or on_host(mask)):
        known = np.asarray(labels) if mask is None else np.asarray(labels)[np.asarray(mask)]
        most = int(np.unique(known, return_counts=True)[1].max(initial=1)) - 1
        if max_positives is not None:
            check_most_positives(most, max_positives)  # PW-8
    return most if max_positives is None else tf.minimum(most, int(max_positives))


def ranks(thresholds: tf.Tensor, d: tf.Tensor, side: str) -> tf.Tensor:
    """Return how many of the sorted thresholds (..., K) are below each of (..., B), or with "right" not above it."""
    padded = followed(thresholds, thresholds.dtype.max)  # tf.searchsorted cannot work along an axis without entries
    return tf.searchsorted(padded, followed(d, 0), side=side)[..., :-1]


def columns(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Return values (B, B) at the columns `index`, and 0 at column B."""
    return tf.gather(tf.pad(values, [[0, 0], [0, 1]]), index, batch_dims=1)


def spread_out(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Return an array (B, B) with values at the columns `index`, those at column B dropped."""
    return collected(values, index, tf.shape(values)[0] + 1, tf.math.unsorted_segment_sum)[:, :-1]


def collected(values: tf.Tensor, place: tf.Tensor, places: tf.Tensor, combine: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Combine, in each row, the values (B, M) that share a place, 0 <= place < places: (B, places)."""
    count = tf.shape(values)[0]
    segments = place + places * tf.range(count)[:, tf.newaxis]
    flat = combine(tf.reshape(values, [-1]), tf.reshape(segments, [-1]), count * places)
    return tf.reshape(flat, [count, places])
