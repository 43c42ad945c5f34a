"""Cross-entropy loss (spec/cross_entropy.md)."""

from __future__ import annotations

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import batch, in_range, number, real, spoilt
from lossproof.backends.tensorflow.labelled import LabelLoss, for_compile
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_real


@for_compile("CrossEntropyLoss")
def cross_entropy_loss(
    logits: tf.Tensor,
    labels: tf.Tensor,
    *,
    label_smoothing: float | tf.Tensor = 0.0,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """Return the cross-entropy of rows of logits with the labels' classes.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with
    ``t = (1 - label_smoothing) onehot(label) + label_smoothing / K``.

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
        reduction: "none", "sum" or "mean" (over rows that take part).

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 logits, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses CE-1 to CE-12, CV-1 to CV-46.
    Source: Deng et al. (2019), eq. 1; smoothing: Szegedy et al. (2016), section 7.
    """
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # CE-6
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = unit_weights(weights, mask, logits=logits)
    units, labels, z = batch(weighing(mask, w), labels, logits=logits)
    if z.shape[1] is None:
        raise ValueError(f"logits must have a known number of classes, got shape {tuple(z.shape)}")
    labels, legal = in_range(labels, 0, z.shape[1] - 1)
    terms = cross_entropy(z, labels, smoothing)
    return reduce(spoilt(terms, ~legal), units if w is None else mask, reduction, w)  # CV-33


def cross_entropy(z: tf.Tensor, labels: tf.Tensor, smoothing: float | tf.Tensor = 0.0) -> tf.Tensor:
    """Return the terms (B,) of logits (B, K) with legal labels."""
    if isinstance(smoothing, float) and smoothing == 0:  # no product with a one-hot row: CE-7, CE-8
        return -tf.gather(tf.nn.log_softmax(z), labels, batch_dims=1)  # CE-1, CE-3
    # Not log_softmax: its gradient adds the shares of K classes up, which round alike and lose digits (CV-16).
    below = tf.stop_gradient(tf.reduce_max(z, axis=-1, keepdims=True)) - z  # CE-3
    total = tf.math.log(tf.reduce_sum(tf.exp(-below), axis=-1))
    own, mean = total + tf.gather(below, labels, batch_dims=1), total + tf.reduce_mean(below, axis=-1)
    return _share(number(1 - smoothing, z.dtype), own) + _share(number(smoothing, z.dtype), mean)  # CE-2, CE-5, CE-9


def _share(weight: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return weight * x, and 0 for no weight: x may be infinite."""
    return tf.where(weight > 0, weight * x, tf.zeros_like(x))


@keras.saving.register_keras_serializable(package="lossproof")
class CrossEntropyLoss(LabelLoss):
    """`cross_entropy_loss` as Keras calls it, with the labels (B,) or (B, 1) and the logits (B, K).

    Options as in the function, but numbers on the host only; an illegal one is refused at construction.

    `mean` divides by the number of rows, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1].
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_with_sample_weight".
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
        self, *, label_smoothing: float = 0.0, reduction: str = "mean", name: str = "cross_entropy_loss"
    ) -> None:
        check_real("label_smoothing", label_smoothing, 0, high=1)  # CE-6
        super().__init__(reduction=reduction, name=name, label_smoothing=float(label_smoothing))
