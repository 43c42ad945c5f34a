"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, followed, number
from lossproof.backends.tensorflow.candidates import Sets
from lossproof.backends.tensorflow.distances import row_distance
from lossproof.backends.tensorflow.products import products

_BLOCK = 2**22  # numbers in a block of differences
_EXPONENT = 0x7FF0000000000000  # the bits of a float64 that hold it


def floored_distance(x: tf.Tensor, y: tf.Tensor, distance: str, floor: float) -> tf.Tensor:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    lowest = number(floor, d.dtype)
    return tf.where(d <= lowest, lowest, d) if floor else d


def over_rows(f: Callable[..., tf.Tensor], met: tf.Tensor, rows: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
    """Map a function of some rows (b, D), and of the same rows of `others`, over blocks; it returns (b, ...).

    A block is so small that the differences of its rows from all rows of `met`, (M, D), are not many.
    """
    known = rows.shape[0] is not None and met.shape.is_fully_defined()
    if known and met.shape.num_elements() * rows.shape[0] <= _BLOCK:
        return f(rows, *others)  # one block; TensorFlow has no forward mode of a loop in a graph
    count = tf.shape(rows)[0]
    block = tf.clip_by_value(_BLOCK // tf.maximum(tf.size(met), 1), 1, tf.maximum(count, 1))
    blocks = tf.maximum(-(-count // block), 1)

    def split(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.pad(x, [[0, blocks * block - count], [0, 0]]), [blocks, block, tf.shape(x)[1]])

    mapped = tf.map_fn(lambda some: f(*some), (split(rows), *map(split, others)), fn_output_signature=rows.dtype)
    return tf.reshape(mapped, tf.concat([[blocks * block], tf.shape(mapped)[2:]], 0))[:count]


def mining_distances(sets: Sets, distance: str) -> tf.Tensor:
    """Return numbers (B, M) in the order of the distances, from differences of rows; they have no gradient."""
    rows, others = tf.stop_gradient(sets.rows), tf.stop_gradient(sets.candidates)

    def squares(some: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.math.squared_difference(some[:, tf.newaxis], others), axis=-1)

    if distance == "cosine":
        d = _cosine_distances(rows, others if sets.second else None)
    else:
        d = tf.stop_gradient(over_rows(squares, others, rows))
    if sets.second and sets.itself is not None:
        zero = tf.reduce_all(tf.equal(units(rows), 0.0), axis=-1)
        own = tf.cast(zero, d.dtype) if distance == "cosine" else tf.zeros_like(rows[:, 0])
        d = tf.where(sets.itself, own[:, tf.newaxis], d)  # BH-12
    largest = tf.constant(rows.dtype.max, d.dtype)
    return tf.where(d < largest, d, largest)  # also where it is NaN, which is said elsewhere; a graph makes >= of not <


def units(rows: tf.Tensor) -> tf.Tensor:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True))
    rows = rows / filled(largest, largest < _smallest(rows.dtype), 1.0)
    square = tf.reduce_sum(rows * rows, axis=-1, keepdims=True)
    zero = tf.equal(square, 0.0)
    return filled(rows / tf.sqrt(filled(square, zero, 1.0)), zero, 0.0)


def _cosine_distances(rows: tf.Tensor, others: tf.Tensor | None) -> tf.Tensor:
    """Return 1 - cos of rows and others, or of every two rows, in float64, which no ambient switch makes coarser."""
    x = tf.cast(units(rows), tf.float64)
    y = x if others is None else tf.cast(units(others), tf.float64)
    return 1.0 - tf.cast(tf.matmul(x, y, transpose_b=True), rows.dtype)  # CV-20


def lowest_index(values: tf.Tensor, among: tf.Tensor, *, largest: bool) -> tf.Tensor:
    """Return the index of the largest or smallest value of each row among its candidates; M where there are none."""
    key = values if largest else -values
    best = tf.reduce_max(filled(key, ~among, key.dtype.min), axis=-1, keepdims=True)
    chosen = 2 * tf.cast(among & (key >= best), tf.int32)  # validity first, then the value, then the index
    return tf.argmax(followed(chosen, 1), axis=-1)


def _smallest(dtype: tf.DType) -> float:
    return 2.0**-1022 if dtype == tf.float64 else 2.0**-126


def set_distances(sets: Sets, whole: tf.Tensor, others: tf.Tensor, distance: str, pairwise: str) -> tf.Tensor:
    """Return the distances (B, M) of rows that are finite; `whole` and `others` say which were as they were given."""
    distinct, taking_part = sets.distinct(whole, others)
    second = (sets.candidates, taking_part) if sets.second else None
    return distance_matrix(sets.rows, distinct, distance, pairwise, second)


def distance_matrix(
    rows: tf.Tensor,
    whole: tf.Tensor,
    distance: str,
    pairwise: str,
    second: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tf.Tensor:
    """Return the distances (B, B) of finite rows, or (B, M) from those of a second set: PW-6.

    `whole` says which rows have a part in the mean, and beside the rows of a second set stands the same of them.
    """
    if distance == "cosine":
        return _cosine_distances(rows, second[0] if second else None)
    unit = tf.constant(1.0, rows.dtype)
    if pairwise == "direct":
        square = _squares_of_two(rows, second[0]) if second else _squares(rows)
        square = tf.minimum(square, rows.dtype.max / 4)  # CV-19
    else:
        unit, *sides = _shifted(rows, whole, distance, second)
        square = _gram_of_two(*sides) if second else _gram(*sides)
    return unit * _roots(square) if distance == "euclidean" else tf.nn.relu(square)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _roots(square: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return square roots with gradient 0 at 0, where rounding may leave less: DI-15.

    Those of the operations are the same, which `tf.vectorized_map` and forward mode take, but more passes.
    """
    zero = square <= 0
    d = filled(tf.sqrt(filled(square, zero, 1.0)), zero, 0.0)
    return d, lambda weights: tf.math.divide_no_nan(0.5 * weights, d)


def _shifted(
    rows: tf.Tensor, whole: tf.Tensor, distance: str, second: tuple[tf.Tensor, tf.Tensor] | None
) -> list[tf.Tensor]:
    """Return a unit, and in this unit the rows of each side from which their origin is subtracted: grade `centred`.

    The unit is a power of two, so that neither the squares of the rows overflow nor those of their distances vanish.
    """
    given = [(rows, whole)] if second is None else [(rows, whole), second]
    sides = [(tf.cast(side, tf.float64), part) for side, part in given]
    largest, width = float(rows.dtype.max), tf.cast(tf.shape(rows)[1], tf.float64)
    limit = 0.25 * (largest / width) ** 0.5
    origin = _origin([(tf.stop_gradient(wide), part) for wide, part in sides], 0.25 * (tf.float64.max / width) ** 0.5)
    shifted, unit = [wide - origin for wide, _ in sides], tf.constant(1.0, tf.float64)
    if distance == "euclidean":
        size = tf.reduce_max(tf.stack([tf.reduce_max(tf.pad(tf.abs(side), [[0, 1], [0, 0]])) for side in shifted]))
        unit = _unit(tf.stop_gradient(size))
        limit = tf.minimum(limit, 0.125 * largest / width**0.5 / unit)
    return [tf.cast(x, rows.dtype) for x in (unit, *(_within(side / unit, limit) for side in shifted))]


def _unit(size: tf.Tensor) -> tf.Tensor:
    """Return the power of two below a size that is large or small, else 1; near it, no gradient of a share vanishes."""
    exponent = tf.bitwise.bitwise_and(tf.bitcast(size, tf.int64), _EXPONENT)
    power = tf.clip_by_value(
        tf.bitcast(exponent, tf.float64), 2.0**-100, 2.0**100
    )  # what float32 holds, and its inverse
    ordinary = ((size >= 2.0**-30) & (size <= 2.0**50)) | (size == 0)
    return tf.where(ordinary, tf.constant(1.0, tf.float64), power)


def _within(x: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.abs(x) > limit, tf.sign(tf.stop_gradient(x)) * limit, x)  # CV-19


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _gram(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return |x|^2 + |y|^2 - 2 x.y of every two rows; their own products are the squares, so that each is at 0."""
    inner = products(rows, -2.0 * rows)
    squares = -0.5 * tf.linalg.diag_part(inner)
    return inner + squares[:, tf.newaxis] + squares, lambda weights: tf.add(*_gram_pulls(rows, rows, weights))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _gram_of_two(
    rows: tf.Tensor, others: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Return the same of each row and each of others."""
    own, other = (tf.reduce_sum(side * side, axis=-1) for side in (rows, others))
    square = products(rows, -2.0 * others) + own[:, tf.newaxis] + other
    return square, lambda weights: _gram_pulls(rows, others, weights)


def _gram_pulls(rows: tf.Tensor, others: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradients of weighed squares of distances with respect to `rows` and to `others`."""
    own, other = (tf.reduce_sum(weights, axis=axis)[:, tf.newaxis] for axis in (1, 0))
    met, meeting = products(weights, tf.transpose(others)), products(tf.transpose(weights), tf.transpose(rows))
    return 2.0 * (own * rows - met), 2.0 * (other * others - meeting)


def _origin(sides: list[tuple[tf.Tensor, tf.Tensor]], limit: tf.Tensor) -> tf.Tensor:
    """Return the mean of the rows that take part, 4 bits of it seen from one of them: dyadic rows stay dyadic."""
    first = _first(*sides[0])
    if len(sides) == 2:
        first = tf.where(tf.reduce_any(sides[0][1]), first, _first(*sides[1]))
    away = [filled(tf.clip_by_value(x - first, -limit, limit), ~part[:, tf.newaxis], 0.0) for x, part in sides]
    count = tf.maximum(tf.add_n([tf.math.count_nonzero(part) for _, part in sides]), 1)
    mean = tf.add_n([tf.reduce_sum(x, axis=0) for x in away]) / tf.cast(count, first.dtype)
    carry = mean * (2.0**49 + 1)  # Veltkamp's splitting
    return first + (carry - (carry - mean))


def _first(rows: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
    """Return the first row that is whole."""
    return tf.gather(tf.pad(rows, [[0, 1], [0, 0]]), tf.argmax(tf.pad(tf.cast(whole, tf.int32), [[0, 1]])))


def _differences(some: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    limit = 0.25 * float(some.dtype.max) ** 0.5
    return tf.clip_by_value(some[:, tf.newaxis] - others, -limit, limit)  # CV-19


def _sums(rows: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    return over_rows(lambda some: tf.reduce_sum(_differences(some, others) ** 2, axis=-1), others, rows)


def _pulls(rows: tf.Tensor, others: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the gradient of weighed sums of squares with respect to `rows`."""

    def of_some(some: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(2.0 * w[..., tf.newaxis] * _differences(some, others), 1)

    return over_rows(of_some, others, rows, weights)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _squares(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return sums of squared differences of every two rows, forward and backward in blocks: never B x B x D."""
    return _sums(rows, rows), lambda weights: _pulls(rows, rows, weights + tf.transpose(weights))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _squares_of_two(
    rows: tf.Tensor, others: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Return sums of squared differences of each row from each of others, in blocks too."""

    def gradients(weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _pulls(rows, others, weights), _pulls(others, rows, tf.transpose(weights))

    return _sums(rows, others), gradients
