"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled
from lossproof.backends.tensorflow.distributed import Replicas, over
from lossproof.backends.tensorflow.weights import total_weight, weighed


class OverNumber(str):
    """The name of a mean that divides by the number of its terms with weights, too, as the means of Keras do."""


def reduce(
    terms: tf.Tensor,
    mask: tf.Tensor | None,
    reduction: str,
    weights: tf.Tensor | None = None,
    counted_as: tf.Tensor | None = None,
    replicas: Replicas | None = None,
) -> tf.Tensor:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive.

    `weights` multiply the terms, and a mean divides by those of the terms that it counts. `counted_as` are what each
    term counts for in a mean besides. Of a batch over replicas it is the share of this one: DD-3.
    """
    if counted_as is not None and reduction == "mean":
        by = None if isinstance(reduction, OverNumber) else weights
        return _over(reduce(terms, mask, "sum", weights), mask, by, counted_as, replicas)
    if weights is not None:
        return _weighed(terms, mask, reduction, weights, replicas)
    if mask is not None:
        terms = filled(terms, ~mask, 0.0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    total = tf.reduce_sum(terms)
    if reduction == "sum":
        return total  # CV-2
    return total / _number(terms, mask, reduction, replicas)


def softened(slack: tf.Tensor, reduction: str) -> tuple[tf.Tensor, str]:
    """Return the terms log(1 + exp(slack)) of a soft margin, and the reduction of terms that are all positive."""
    return tf.nn.softplus(slack), type(reduction)("mean") if reduction == "mean_nonzero" else reduction


def _over(
    total: tf.Tensor,
    mask: tf.Tensor | None,
    weights: tf.Tensor | None,
    counted_as: tf.Tensor,
    replicas: Replicas | None,
) -> tf.Tensor:
    """Return a sum over what its terms count for; where that is 0, it is 0, but NaN stays NaN: CE-14."""
    if weights is not None:
        counted_as = counted_as * filled(weights, tf.math.is_nan(weights), 0.0)
    if mask is not None:
        counted_as = filled(counted_as, ~tf.convert_to_tensor(mask), 0.0)
    divisor = over(replicas, tf.reduce_sum(filled(counted_as, tf.math.is_nan(counted_as), 0.0)))
    nothing = divisor < np.finfo(divisor.dtype.as_numpy_dtype).smallest_normal
    return filled(total / filled(divisor, nothing, 1.0), nothing & ~tf.math.is_nan(total), 0.0)


def _number(terms: tf.Tensor, mask: tf.Tensor | None, reduction: str, replicas: Replicas | None) -> tf.Tensor:
    counted = tf.ones_like(terms, dtype=tf.bool) if mask is None else mask  # CV-3
    if reduction == "mean_nonzero":
        counted = tf.where(terms <= 0, False, counted)  # CV-4; NaN is counted, CV-10: a graph makes > of not <=
    return number_or_1(tf.math.count_nonzero(counted, dtype=tf.int32), terms.dtype, replicas)


def number_or_1(count: tf.Tensor, dtype: tf.DType, replicas: Replicas | None) -> tf.Tensor:
    """Return how many are counted, or 1 for none, on all replicas: as floats, which add up without end (DD-13)."""
    if replicas is None:
        return tf.cast(tf.maximum(count, 1), dtype)  # CV-5, CV-6
    return tf.maximum(replicas.total(tf.cast(count, dtype)), 1)


def _weighed(
    terms: tf.Tensor, mask: tf.Tensor | None, reduction: str, weights: tf.Tensor, replicas: Replicas | None
) -> tf.Tensor:
    """Return the reduction of weighed terms; nothing is left of a term of weight 0 (CV-41, CV-42)."""
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        weights = filled(weights, ~mask, 0.0)
    products = weighed(terms, weights)
    if reduction == "none":
        return products
    total = tf.reduce_sum(products)
    if reduction == "sum":
        return total
    if isinstance(reduction, OverNumber):
        return total / _number(terms, mask, reduction, replicas)
    counted = filled(weights, terms <= 0, 0.0) if reduction == "mean_nonzero" else weights
    return total / total_weight(counted, replicas)  # CV-40
