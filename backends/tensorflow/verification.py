"""Verification (spec/verification.md): rates and accuracy of accepted pairs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import describe, filled, number, real, spoilt
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.spec.arguments import check_ascending, check_distances, check_mask, check_thresholds


@as_written
def verification_rates(distances: tf.Tensor, same: tf.Tensor, thresholds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the validation rate and the false accept rate at each threshold.

    ``VAL(t)`` is the share of same pairs, and ``FAR(t)`` that of different pairs, with ``distance <= t``.

    Args:
        distances: of shape (N,); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or numpy array.
        same: booleans of shape (N,); True for a pair of one identity.
        thresholds: one number, or ascending numbers of shape (T,), in the unit and dtype of the distances; values on
            a device are not read back, and there each threshold stands for itself.

    Returns:
        VAL and FAR, each of the shape of `thresholds`; NaN over no pairs, or where a distance of the kind is NaN;
        float64 for float64 distances, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Without gradient. Time O((N + T) log N), memory O(N + T), but O(N T) under XLA. Clauses VE-1 to VE-8, VE-12.
    Source: Schroff et al. (2015), section 4.
    """
    pairs = _Pairs(distances, same)
    return pairs.rates(_thresholds(thresholds, distances))


@as_written
def verification_accuracy(distances: tf.Tensor, same: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Return the share of pairs that are judged rightly at each threshold: same accepted, different rejected.

    Arguments and errors as in `verification_rates`; NaN over no pairs, or where a distance is NaN. Clause VE-9.
    """
    pairs = _Pairs(distances, same)
    return pairs.accuracy(_thresholds(thresholds, distances))


@as_written
def best_accuracy(distances: tf.Tensor, same: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the greatest accuracy over all thresholds, and the lowest threshold that reaches it.

    The candidates are -inf and the distances themselves. Arguments and errors as in `verification_rates`; both are NaN
    over no pairs, or where a distance is NaN. A threshold chosen on the pairs it is judged with flatters. Clause VE-10.
    """
    pairs = _Pairs(distances, same)
    candidates = pairs.candidates()
    first = tf.argmax(pairs.right(candidates))  # the first of those that tie
    accuracy = pairs.accuracy(candidates)[first]
    return accuracy, spoilt(candidates[first], tf.math.is_nan(accuracy))


@as_written
def val_at_far(distances: tf.Tensor, same: tf.Tensor, *, far: float | tf.Tensor = 1e-3) -> tuple[tf.Tensor, tf.Tensor]:
    """Return VAL at the largest distance whose FAR is at most `far`, and that distance: "VAL at FAR 1e-3".

    `far` is in [0, 1]; a tensor of shape () is used as it is. Where every distance accepts too many,
    VAL is 0 and the threshold -inf; both are NaN without same or different pairs, or where a distance is NaN.
    Other arguments and errors as in `verification_rates`. Clause VE-11.
    """
    far = real("far", far, 0, high=1)
    pairs = _Pairs(distances, same)
    candidates = pairs.candidates()
    val, rates = pairs.rates(candidates)
    within = tf.math.count_nonzero(rates <= number(far, rates.dtype), dtype=tf.int32)  # FAR does not fall
    last = tf.maximum(within - 1, 0)
    undefined = tf.reduce_any(tf.math.is_nan(val + rates))
    return spoilt(val[last], undefined), spoilt(candidates[last], undefined)


class _Pairs:
    """Pairs sorted by their distance, with how many of each kind are among the nearest k, k = 0 to N."""

    def __init__(self, distances: tf.Tensor, same: tf.Tensor) -> None:
        shape, dtype = describe("distances", distances)
        check_distances(shape, dtype)  # VE-7
        check_mask("same", *describe("same", same), shape)
        d = tf.stop_gradient(tf.cast(distances, tf.float64 if dtype == "float64" else tf.float32))
        same = tf.ensure_shape(tf.convert_to_tensor(same), d.shape)
        nan = tf.math.is_nan(d)
        known = filled(d, nan, np.inf)  # only sorting NaN differs between devices; the results are NaN all the same
        order = tf.argsort(known)
        alike = tf.stack([same, ~same])
        counts = tf.cast(alike, tf.int32)
        self.sorted = tf.gather(known, order)
        self.nearest = tf.pad(tf.cumsum(tf.gather(counts, order, axis=1), axis=1), [[0, 0], [1, 0]])  # VE-5: integers
        self.total = tf.reduce_sum(counts, axis=1)
        self.undefined = tf.reduce_any(alike & nan, axis=1)

    def accepted(self, thresholds: tf.Tensor) -> tf.Tensor:
        """Return the number of pairs of each kind with a distance of at most the threshold (VE-2)."""
        return tf.gather(self.nearest, tf.searchsorted(self.sorted, thresholds, side="right"), axis=1)

    def rates(self, thresholds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """VE-1, VE-3, VE-4."""
        accepted = self.accepted(tf.reshape(thresholds, [-1]))
        shares = _quotient(accepted, self.total[:, tf.newaxis], thresholds.dtype)
        shares = spoilt(shares, self.undefined[:, tf.newaxis])
        val, far = (tf.reshape(share, tf.shape(thresholds)) for share in tf.unstack(shares))
        nan = tf.math.is_nan(thresholds)
        return spoilt(val, nan), spoilt(far, nan)

    def right(self, thresholds: tf.Tensor) -> tf.Tensor:
        """Return how many pairs are judged rightly."""
        same, different = tf.unstack(self.accepted(thresholds))
        return same + self.total[1] - different

    def accuracy(self, thresholds: tf.Tensor) -> tf.Tensor:
        """VE-9."""
        right = tf.reshape(self.right(tf.reshape(thresholds, [-1])), tf.shape(thresholds))
        undefined = tf.reduce_any(self.undefined) | tf.math.is_nan(thresholds)
        return spoilt(_quotient(right, tf.reduce_sum(self.total), thresholds.dtype), undefined)

    def candidates(self) -> tf.Tensor:
        """Return -inf and the distances, ascending."""
        return tf.concat([tf.constant([-np.inf], self.sorted.dtype), self.sorted], 0)


def _quotient(count: tf.Tensor, total: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return count / total, rounded once (VE-5), and NaN for 0 / 0.

    The divisor is no broadcast number, though it looks like one: XLA multiplies by the inverse of those.
    """
    return tf.cast(count, dtype) / tf.cast(tf.where(count < 0, count, total), dtype)


def _thresholds(thresholds: tf.Tensor, distances: tf.Tensor) -> tf.Tensor:
    shape, dtype = describe("thresholds", thresholds)
    check_thresholds(shape, dtype, describe("distances", distances)[1])  # VE-6
    if isinstance(thresholds, np.ndarray):
        t = thresholds.astype(np.float64)
        check_ascending(not t.ndim or bool((t[1:] >= t[:-1]).all()), bool(np.isnan(t).any()))
    return tf.stop_gradient(tf.cast(thresholds, tf.float64 if dtype == "float64" else tf.float32))
