"""Cross-entropy loss (spec/cross_entropy.md)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import batch, in_range, number, real, spoilt
from lossproof.backends.tensorflow.distributed import joined
from lossproof.backends.tensorflow.labelled import ClassesLoss, for_compile
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import of_class, unit_weights, weighing, weights_of_classes
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_real


@for_compile("CrossEntropyLoss")
def cross_entropy_loss(
    logits: tf.Tensor,
    labels: tf.Tensor,
    *,
    label_smoothing: float | tf.Tensor = 0.0,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    class_weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the cross-entropy of rows of logits with the labels' classes.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with
    ``t = (1 - label_smoothing) onehot(label) + label_smoothing / K``, and ``class_weights_k t_k`` in place of
    ``t_k`` where they are given.

    Args:
        logits: rows of shape (B, K), unscaled logarithms of probabilities; float16, bfloat16, float32 or
            float64; a tf.Tensor, tf.Variable or numpy array. K is known.
        labels: integers of shape (B,) in [0, K). Elsewhere: an error where they are read, which is in a numpy array and
            in an eager tensor on the CPU, and the term is NaN in others.
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1]; a tensor of shape ()
            is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the target
            gives to its class, and a mean divides by those of the labels. Others: an error on the host,
            and elsewhere each term is NaN. They are constants, and no table that is learned as in ArcFace. The
            `class_weight` of Keras' `fit` is another thing: it becomes a weight of each sample.
        reduction: "none", "sum" or "mean" (over rows that take part).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 logits, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses CE-1 to CE-18, CV-1 to CV-46, DD-1 to DD-19.
    Source: Deng et al. (2019), eq. 1; smoothing: Szegedy et al. (2016), section 7.
    """
    replicas = joined(across_replicas)
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # CE-6
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = unit_weights(weights, mask, logits=logits)
    own, (units, labels, z) = labels, batch(weighing(mask, w), labels, logits=logits)
    if z.shape[1] is None:
        raise ValueError(f"logits must have a known number of classes, got shape {tuple(z.shape)}")
    labels, legal = in_range(labels, 0, z.shape[1] - 1)
    c = weights_of_classes(class_weights, z.dtype, logits=logits)
    terms = spoilt(cross_entropy(z, labels, smoothing, c), ~legal)  # CV-33
    of_labels = None if c is None else _counted_as(c, own)
    return reduce(terms, units if w is None else mask, reduction, w, counted_as=of_labels, replicas=replicas)  # CE-14


def cross_entropy(
    z: tf.Tensor, labels: tf.Tensor, smoothing: float | tf.Tensor = 0.0, class_weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the terms (B,) of logits (B, K) with legal labels."""
    if isinstance(smoothing, float) and smoothing == 0:  # no product with a one-hot row: CE-7, CE-8
        costs = -tf.gather(tf.nn.log_softmax(z), labels, batch_dims=1)  # CE-1, CE-3
        return costs if class_weights is None else of_class(tf.gather(class_weights, labels), costs)  # CE-13
    # Not log_softmax: its gradient adds the shares of K classes up, which round alike and lose digits (CV-16).
    below = tf.stop_gradient(tf.reduce_max(z, axis=-1, keepdims=True)) - z  # CE-3
    total = tf.math.log(tf.reduce_sum(tf.exp(-below), axis=-1))
    own, mean = total + tf.gather(below, labels, batch_dims=1), total + tf.reduce_mean(below, axis=-1)
    if class_weights is not None:
        own = of_class(tf.gather(class_weights, labels), own)  # CE-13, CE-15, CE-16
        mean = tf.reduce_mean(of_class(class_weights, total[:, tf.newaxis] + below), axis=-1)
    return _share(number(1 - smoothing, z.dtype), own) + _share(number(smoothing, z.dtype), mean)  # CE-2, CE-5, CE-9


def _counted_as(class_weights: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the class weight of each label, also of rows of weight 0, which the means of Keras count."""
    known = tf.cast(tf.convert_to_tensor(labels), tf.int64)
    return tf.gather(class_weights, tf.clip_by_value(known, 0, class_weights.shape[0] - 1))


def _share(weight: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return weight * x, and 0 for no weight: x may be infinite."""
    return tf.where(weight > 0, weight * x, tf.zeros_like(x))


@keras.saving.register_keras_serializable(package="lossproof")
class CrossEntropyLoss(ClassesLoss):
    """`cross_entropy_loss` as Keras calls it, with the labels (B,) or (B, 1) and the logits (B, K).

    Options as in the function, but numbers on the host only; an illegal one is refused at construction.

    `mean` divides by the number of rows, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does. Both count a
    row with the class weight of its label, where there are class weights.
    Keras' own `class_weight` of `fit` is another thing than `class_weights`: it becomes `sample_weight`.

    Args:
        class_weights: K numbers in [0, inf), a list or an array: each multiplies what the target gives to its class.
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1].
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import CrossEntropyLoss
        >>> loss = CrossEntropyLoss()
        >>> round(float(loss(np.array([0]), np.array([[0.0, 0.0]], "float32"))), 3)
        0.693
    """

    function = staticmethod(cross_entropy_loss)
    reductions = REDUCTIONS[:3]

    def __init__(
        self,
        *,
        class_weights: Any = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "cross_entropy_loss",
    ) -> None:
        check_real("label_smoothing", label_smoothing, 0, high=1)  # CE-6
        options = {"label_smoothing": float(label_smoothing)}
        super().__init__(class_weights, reduction=reduction, across_replicas=across_replicas, name=name, **options)
