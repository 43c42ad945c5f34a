"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled


def reduce(terms: tf.Tensor, mask: tf.Tensor | None, reduction: str) -> tf.Tensor:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive."""
    if mask is not None:
        terms = filled(terms, ~mask, 0.0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    total = tf.reduce_sum(terms)
    if reduction == "sum":
        return total  # CV-2
    counted = tf.ones_like(terms, dtype=tf.bool) if mask is None else mask  # CV-3
    if reduction == "mean_nonzero":
        counted = counted & ~(terms <= 0)  # CV-4; NaN is counted, CV-10
    count = tf.math.count_nonzero(counted, dtype=tf.int32)
    return total / tf.cast(tf.maximum(count, 1), terms.dtype)  # CV-5, CV-6
