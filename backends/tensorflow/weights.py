"""Weights of units: checked, constant, and NaN where they are no weights (spec/conventions.md)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import arithmetic, describe, filled, of_one_shape, on_host, spoilt
from lossproof.backends.tensorflow.distributed import Replicas, over
from lossproof.spec.arguments import check_class_weights, check_mask, check_weight_range, check_weights


def unit_weights(
    weights: tf.Tensor | None, mask: tf.Tensor | None, *tables: tf.Tensor, **rows: tf.Tensor
) -> tf.Tensor | None:
    """Return weights, one a unit of rows (..., D), 0 where the mask says so; None without any.

    They have the dtype of the arithmetic, which wider tables decide. A number that is no weight is an error on the
    host; elsewhere it becomes NaN. Weights in a numpy array stay on the host.
    """
    if weights is None:
        return None
    ((name, value),) = rows.items()
    weights = tf.convert_to_tensor(weights) if isinstance(weights, tf.Variable) else weights
    mask = tf.convert_to_tensor(mask) if isinstance(mask, tf.Variable) else mask
    shape, dtype = describe(name, value)
    own = describe("weights", weights)
    check_weights("weights", *own, shape[:-1], name, dtype)  # CV-45
    lengths = {*shape[:-1], *own[0]}
    if mask is not None:
        masked, mask_dtype = describe("mask", mask)
        check_mask("mask", masked, mask_dtype, shape[:-1])  # CV-29, CV-30
        lengths |= {*masked}
    legal = checked_on_host("weights", weights, mask)
    if None in lengths:  # compared when the graph runs
        units = tf.zeros_like(tf.convert_to_tensor(value)[..., 0], tf.bool)
        weights, _ = of_one_shape(tf.convert_to_tensor(weights), tf.cast(units, weights.dtype))
        mask = None if mask is None else of_one_shape(tf.convert_to_tensor(mask), units)[0]
    return _constant(weights, mask, arithmetic(value, *tables), legal)


def weights_of_classes(class_weights: tf.Tensor | None, dtype: tf.DType, **rows: tf.Tensor) -> tf.Tensor | None:
    """Return weights (K,) of the classes of logits (B, K) in the dtype of the arithmetic; None without any.

    A number that is no weight is an error on the host; elsewhere it makes all of them NaN.
    """
    if class_weights is None:
        return None
    ((name, value),) = rows.items()
    if isinstance(class_weights, tf.Variable):
        class_weights = tf.convert_to_tensor(class_weights)
    shape, own = describe(name, value)
    given = describe("class_weights", class_weights)
    check_class_weights("class_weights", *given, shape[-1], name, own)  # CE-17, ST-21
    legal = checked_on_host("class_weights", class_weights, None)  # CE-18, ST-22
    if given[0][0] is None:  # compared when the graph runs
        class_weights, _ = of_one_shape(class_weights, tf.zeros(shape[-1:], class_weights.dtype))
    c = tf.convert_to_tensor(_constant(class_weights, None, dtype, legal))  # CE-15, ST-19
    return c if legal else spoilt(c, tf.fill(tf.shape(c), tf.reduce_any(tf.math.is_nan(c))))


def of_class(class_weights: tf.Tensor, costs: tf.Tensor) -> tf.Tensor:
    """Return class weights times costs: 0 for a weight of 0, also where a class cannot be (CE-16), but not for NaN."""
    return class_weights * filled(costs, tf.equal(class_weights, 0) & tf.math.is_inf(costs), 0.0)


def checked_on_host(name: str, weights: tf.Tensor, mask: tf.Tensor | None) -> bool:
    """Return whether weights are known to be in their range: those on the host, where others are an error (CV-46)."""
    if not on_host(weights) or not (mask is None or on_host(mask)):
        return False
    known = np.asarray(weights).astype(np.float64)
    known = known if mask is None else np.where(np.asarray(mask), known, 0.0)
    if known.size:
        check_weight_range(name, float(known.min()), float(known.max()))
    return True


def _constant(weights: tf.Tensor, mask: tf.Tensor | None, dtype: tf.DType, legal: bool) -> tf.Tensor:
    """Return weights without a gradient, cut off where no sum of them overflows (CV-19), or NaN."""
    limit = 2.0**-2 * float(dtype.max) ** 0.5
    if isinstance(weights, np.ndarray) and (mask is None or isinstance(mask, np.ndarray)):
        known = weights if mask is None else np.where(mask, weights, np.zeros((), weights.dtype))
        return np.minimum(known.astype(np.float64), limit).astype(dtype.as_numpy_dtype)
    weights = tf.stop_gradient(tf.convert_to_tensor(weights))  # CV-44
    if mask is not None:
        weights = filled(weights, ~tf.convert_to_tensor(mask), 0.0)
    cut = tf.minimum(tf.cast(weights, dtype), limit)
    return cut if legal else spoilt(cut, (weights < 0) | ~tf.math.is_finite(weights))


def weighing(mask: tf.Tensor | None, weights: tf.Tensor | None) -> tf.Tensor | None:
    """Return the mask of the units that weigh something, where each has rows of its own: CV-41, CV-42."""
    if weights is None:
        return mask
    return weights != 0 if isinstance(weights, np.ndarray) else tf.not_equal(weights, 0)


def constant_where_0(weights: tf.Tensor | None, *rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Return rows (..., D) whose gradient is 0 in units of weight 0, whatever comes back to them: CV-42."""
    if weights is None:
        return rows
    nothing = tf.equal(weights, 0)[..., tf.newaxis]
    return tuple(tf.where(nothing, tf.stop_gradient(x), x) for x in rows)


def weighed(terms: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return weights times terms: 0 for a weight of 0 (CV-41), and for one that is NaN a NaN without gradient."""
    wild = tf.math.is_nan(weights)
    known = filled(weights, wild, 0.0)
    return spoilt(filled(terms, tf.equal(known, 0), 0.0) * known, wild)  # CV-39, CV-46


def total_weight(weights: tf.Tensor, replicas: Replicas | None = None) -> tf.Tensor:
    """Return the sum of weights, by which a mean divides; 1 where it is 0 (CV-43), and NaN adds nothing (CV-46)."""
    total = over(replicas, tf.reduce_sum(filled(weights, tf.math.is_nan(weights), 0.0)))
    tiny = np.finfo(total.dtype.as_numpy_dtype).smallest_normal  # the inverse of a subnormal sum is infinite
    return filled(total, total < tiny, 1.0)
