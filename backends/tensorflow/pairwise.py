"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, number
from lossproof.backends.tensorflow.distances import row_distance

_BLOCK = 2**22  # numbers in a block of differences


def candidates(labels: tf.Tensor, mask: tf.Tensor | None, *, include_self: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    labels = tf.convert_to_tensor(labels)
    same = labels[:, tf.newaxis] == labels  # CV-32
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


def over_rows(f: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor) -> tf.Tensor:
    """Map a function of some rows (b, D), which compares them with all and returns (b, ...), over blocks of rows."""
    count = tf.shape(rows)[0]
    block = tf.clip_by_value(_BLOCK // tf.maximum(tf.size(rows), 1), 1, tf.maximum(count, 1))
    blocks = tf.maximum(-(-count // block), 1)
    padded = tf.pad(rows, [[0, blocks * block - count], [0, 0]])
    mapped = tf.map_fn(f, tf.reshape(padded, [blocks, block, tf.shape(rows)[1]]))
    return tf.reshape(mapped, tf.concat([[blocks * block], tf.shape(mapped)[2:]], 0))[:count]


def mining_distances(rows: tf.Tensor, distance: str) -> tf.Tensor:
    """Return numbers (B, B) in the order of the distances, from differences of rows; they have no gradient."""
    rows = tf.stop_gradient(rows)
    if distance == "cosine":
        return 1.0 - products(units(rows))

    def squares(some: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.math.squared_difference(some[:, tf.newaxis], rows), axis=-1)

    return tf.minimum(tf.stop_gradient(over_rows(squares, rows)), rows.dtype.max)


def units(rows: tf.Tensor) -> tf.Tensor:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True))
    rows = rows / filled(largest, largest < _smallest(rows.dtype), 1.0)
    square = tf.reduce_sum(rows * rows, axis=-1, keepdims=True)
    zero = square == 0
    return filled(rows / tf.sqrt(filled(square, zero, 1.0)), zero, 0.0)


def products(rows: tf.Tensor) -> tf.Tensor:
    """Return the inner products of every two rows, summed in float64, which no ambient switch makes coarser: CV-20."""
    wide = tf.cast(rows, tf.float64)
    return tf.cast(tf.matmul(wide, wide, transpose_b=True), rows.dtype)


def lowest_index(values: tf.Tensor, among: tf.Tensor, *, largest: bool) -> tf.Tensor:
    """Return the index of the largest or smallest value of each row among its candidates; B where there are none."""
    candidate = filled(values if largest else -values, ~among, -float("inf"))
    return tf.argmax(tf.pad(candidate, [[0, 0], [0, 1]], constant_values=-float("inf")), axis=-1)


def poisoned(terms: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Return NaN for every term if a row that takes part holds NaN: each is a candidate of every anchor (PW-5)."""
    return filled(terms, tf.reduce_any(tf.math.is_nan(rows)), float("nan"))


def _smallest(dtype: tf.DType) -> float:
    return 2.0**-1022 if dtype == tf.float64 else 2.0**-126
