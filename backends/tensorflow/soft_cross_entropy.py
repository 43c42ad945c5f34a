"""Soft cross-entropy loss (spec/soft_cross_entropy.md)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import (
    describe,
    filled,
    number,
    of_one_shape,
    on_host,
    real,
    rows,
    spoilt,
)
from lossproof.backends.tensorflow.distributed import joined
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import ClassesLoss
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import unit_weights, weighing, weights_of_classes
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_batch,
    check_choice,
    check_real,
    check_target_range,
    check_targets,
)


@as_written
def soft_cross_entropy_loss(
    logits: tf.Tensor,
    targets: tf.Tensor,
    *,
    label_smoothing: float | tf.Tensor = 0.0,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    class_weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the cross-entropy of rows of logits with targets that are probabilities.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) targets + label_smoothing / K``,
    and ``class_weights_k t_k`` in place of ``t_k`` where they are given.
    In `compile` belongs `SoftCrossEntropyLoss`, for Keras calls a loss with the targets first.

    Args:
        logits: rows of shape (B, K), unscaled logarithms of probabilities; float16, bfloat16, float32 or
            float64; a tf.Tensor, tf.Variable or numpy array. K is known.
        targets: rows of shape (B, K), same dtype or a wider one, [0, inf]; a row need not add up to 1. A negative one
            is an error where it is read, which is in a numpy array and in an eager tensor on the CPU, and the term is
            NaN in others.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1]; a tensor of shape ()
            is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the targets
            give to its class. A mean does not divide by them. Others: an error on the host,
            and elsewhere each term is NaN. They are constants, and no table that is learned as in ArcFace. The
            `class_weight` of Keras' `fit` is another thing: it becomes a weight of each sample.
        reduction: "none", "sum" or "mean" (over rows that take part).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses ST-1 to ST-22, CV-1 to CV-46, DD-1 to DD-19.
    Source: Hinton et al. (2015), eq. 2; smoothing: Szegedy et al. (2016), section 7.
    """
    replicas = joined(across_replicas)
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # ST-8
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    (shape, dtype), (shape_t, dtype_t) = describe("logits", logits), describe("targets", targets)
    check_batch("logits", shape, dtype)  # CV-34
    check_targets(shape_t, dtype_t, shape, dtype)  # ST-14
    if shape[1] is None:
        raise ValueError(f"logits must have a known number of classes, got shape {shape}")
    w = unit_weights(weights, mask, targets, logits=logits)
    given = weighing(mask, w)
    units, (z,) = rows(given, targets, logits=logits)
    t = tf.cast(targets, z.dtype)
    if None in (*shape, *shape_t):
        z, t = of_one_shape(z, t)
    if units is not None:
        t = filled(t, ~units[:, tf.newaxis], 0.0)  # CV-8, CV-9
    _refuse_negative(t, targets, given)
    c = weights_of_classes(class_weights, z.dtype, logits=logits)
    terms = soft_cross_entropy(z, t, smoothing, c)
    terms = spoilt(terms, tf.reduce_any(t < 0, axis=-1))  # ST-15
    return reduce(terms, units if w is None else mask, reduction, w, replicas=replicas)


def _refuse_negative(t: tf.Tensor, targets: Any, mask: Any) -> None:
    """Refuse negative targets that can be read, of rows that take part: ST-15."""
    if on_host(t):
        known = np.asarray(t)
    elif isinstance(targets, np.ndarray) and (mask is None or isinstance(mask, np.ndarray)):
        known = targets if mask is None else targets[mask]
    else:
        return
    if (known < 0).any():
        check_target_range(float(known[known < 0].min()))


def soft_cross_entropy(
    z: tf.Tensor, targets: tf.Tensor, smoothing: float | tf.Tensor = 0.0, class_weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the terms (B,) of logits and targets (B, K)."""
    limit = float(z.dtype.max) ** 0.5  # beyond the domain: CV-19
    targets = filled(targets, targets > limit, limit)
    shares = number(1 - smoothing, z.dtype) * targets + number(smoothing, z.dtype) / z.shape[-1]  # ST-2, ST-3, ST-7
    if class_weights is not None:
        shares = class_weights * shares  # ST-17
        shares = filled(shares, shares > limit, limit)
    cost = -tf.nn.log_softmax(z)  # ST-4
    impossible = tf.math.is_inf(z) & (z < 0)
    left_out = impossible & tf.equal(shares, 0.0)  # no product of 0 and infinity: ST-9, ST-10, ST-20
    cost = filled(cost, (cost > limit) & ~impossible, limit)
    return tf.reduce_sum(shares * filled(cost, left_out, 0.0), axis=-1)  # ST-1, ST-5, ST-6, ST-11


def _as_targets(y_true: Any, y_pred: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return targets as floats that are not narrower than the logits, and in their shape where Keras forgets it."""
    y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
    if y_true.shape.rank is None:
        y_true = tf.reshape(y_true, tf.shape(y_pred))
    if not y_true.dtype.is_floating:
        return tf.cast(y_true, y_pred.dtype), y_pred
    return tf.cast(y_true, np.promote_types(y_true.dtype.as_numpy_dtype, y_pred.dtype.as_numpy_dtype)), y_pred


@keras.saving.register_keras_serializable(package="lossproof")
class SoftCrossEntropyLoss(ClassesLoss):
    """`soft_cross_entropy_loss` as Keras calls it, with the targets (B, K) and the logits (B, K).

    Options as in the function, but numbers on the host only; an illegal one is refused at construction. Targets may
    be integers, booleans and narrower floats, too. There is no mask: the function is the way to leave rows out.

    `mean` divides by the number of rows, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.
    Keras' own `class_weight` of `fit` is another thing than `class_weights`: it becomes `sample_weight`.

    Args:
        class_weights: K numbers in [0, inf), a list or an array: each multiplies what the targets give to its class.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1].
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import SoftCrossEntropyLoss
        >>> loss = SoftCrossEntropyLoss()
        >>> round(float(loss(np.array([[0.25, 0.75]], "float32"), np.array([[1.0, 3.0]], "float32"))), 3)
        0.627
    """

    function = staticmethod(soft_cross_entropy_loss)
    reductions = REDUCTIONS[:3]
    of_rows = True
    taken = staticmethod(_as_targets)

    def __init__(
        self,
        *,
        class_weights: Any = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "soft_cross_entropy_loss",
    ) -> None:
        check_real("label_smoothing", label_smoothing, 0, high=1)  # ST-8
        options = {"label_smoothing": float(label_smoothing)}
        super().__init__(class_weights, reduction=reduction, across_replicas=across_replicas, name=name, **options)
