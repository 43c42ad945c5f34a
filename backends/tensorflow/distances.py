"""Distances of given rows, with the gradients that the spec chooses at kinks (spec/distances.md)."""

from __future__ import annotations

from math import inf

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, number


def row_distance(x: tf.Tensor, y: tf.Tensor, distance: str, p: float, eps: float | tf.Tensor, eps_at: str) -> tf.Tensor:
    """Return the distance of each row of x from the same row of y: (..., D), (..., D) -> (...)."""
    if distance == "cosine":
        return _cosine(x, y)
    if distance == "squared_euclidean":
        t = quarter(x, y)
        return _finite(16 * tf.reduce_sum(t * t, axis=-1))  # DI-7, DI-12
    if distance == "euclidean":
        p, eps, eps_at = 2.0, 0.0, "difference"  # DI-9
    offset, root, floor = (eps if eps_at == at else 0.0 for at in ("difference", "root", "floor"))
    if p == 2:
        return _finite(4 * _p_norm(quarter(x, y, offset), p, root / 16, floor / 16))
    largest = float(x.dtype.max)
    t = x - y if _none(offset) else x - y + number(offset, x.dtype)  # DI-4
    return _finite(_p_norm(tf.clip_by_value(t, -largest, largest), p, root, floor))


def quarter(x: tf.Tensor, y: tf.Tensor, offset: float | tf.Tensor = 0.0) -> tf.Tensor:
    """Return a quarter of x - y + offset, which no finite numbers make infinite: CV-19."""
    t = 0.25 * x - 0.25 * y
    return t if _none(offset) else t + 0.25 * number(offset, t.dtype)  # DI-4


def _none(offset: float | tf.Tensor) -> bool:
    return isinstance(offset, float) and offset == 0


def _p_norm(t: tf.Tensor, p: float, root: float | tf.Tensor, floor: float | tf.Tensor) -> tf.Tensor:
    """Return max(sum |t|^p + root, floor)^(1/p), with gradient 0 at or below the floor and at t = 0."""
    dtype = t.dtype
    if p == inf:
        size = tf.abs(t)
        # argmax skips NaN, so NaN ranks first; a mask by index, not by value, keeps it (CV-10).
        nan = tf.math.is_nan(size)
        first = tf.argmax(tf.cast(nan, tf.int32), axis=-1)
        largest = tf.where(tf.reduce_any(nan, axis=-1), first, tf.argmax(filled(size, nan, 0.0), axis=-1))
        picked = tf.one_hot(largest, tf.shape(t)[-1], on_value=True, off_value=False, dtype=tf.bool)
        return tf.reduce_sum(filled(size, ~picked, 0.0), axis=-1)  # DI-3, DI-16
    if p == 1:
        total = tf.reduce_sum(tf.abs(t), axis=-1) + number(root, dtype)  # DI-2, DI-14
        lowest = number(floor, dtype)
        return tf.where(total <= lowest, lowest, total)  # DI-6, DI-17
    if p == 2:
        total = tf.reduce_sum(t * t, axis=-1) + number(root, dtype)  # DI-1, DI-5
        low = (total <= number(floor, dtype)) | _negligible(total)  # with floor 0 this is t = 0: DI-15
        return tf.where(low, number(floor**0.5, dtype), tf.sqrt(filled(total, low, 1.0)))
    # Other exponents: in units of the largest size, which carries no gradient, nothing overflows (DI-19).
    size = tf.abs(t)
    root, floor = number(root ** (1 / p), dtype), number(floor ** (1 / p), dtype)
    unit = tf.stop_gradient(tf.maximum(tf.reduce_max(size, axis=-1), tf.maximum(root, floor)))
    unit = filled(unit, _negligible(unit), 1.0)
    ratio = size / unit[..., tf.newaxis]
    zero = _negligible(ratio)  # the second derivative is 0 there (CV-14)
    powers = filled(tf.pow(filled(ratio, zero, 1.0), p), zero, 0.0)
    total = tf.reduce_sum(powers, axis=-1) + tf.pow(root / unit, p)
    low = total <= tf.pow(floor / unit, p)
    return tf.where(low, floor, unit * tf.pow(filled(total, low, 1.0), 1 / p))


def _negligible(size: tf.Tensor) -> tf.Tensor:
    """Return where a size is 0 or subnormal: dividing by it overflows, on devices that do not flush it."""
    return size < np.finfo(size.dtype.as_numpy_dtype).smallest_normal


def _finite(d: tf.Tensor) -> tf.Tensor:
    """Keep a distance so small that the difference of two is finite (CV-19)."""
    limit = float(d.dtype.max) / 4
    return tf.clip_by_value(d, -limit, limit)


def _cosine(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return 1 - cos; a zero row has cosine 0 and gives no gradient to either row (DI-8, DI-10, DI-18)."""
    x, y = _scaled(x), _scaled(y)
    xx, yy = (tf.reduce_sum(row * row, axis=-1, keepdims=True) for row in (x, y))
    zero = tf.equal(xx, 0.0) | tf.equal(yy, 0.0)
    u, w = (row / tf.sqrt(filled(square, zero, 1.0)) for row, square in ((x, xx), (y, yy)))
    cosine = tf.reduce_sum(u * w, axis=-1)
    return 1.0 - tf.where(tf.squeeze(zero, -1), tf.stop_gradient(cosine), cosine)


def _scaled(x: tf.Tensor) -> tf.Tensor:
    """Divide each row by its largest size, without gradient: the cosine is the same at every scale."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(x), axis=-1, keepdims=True))
    return x / filled(largest, _negligible(largest), 1.0)
