"""CosFace loss (spec/cosface.md)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import batch, in_range, number, real, rows_of, spoilt, table
from lossproof.backends.tensorflow.class_weights import ClassWeights, unit_rows
from lossproof.backends.tensorflow.cross_entropy import cross_entropy
from lossproof.backends.tensorflow.distributed import joined
from lossproof.backends.tensorflow.labelled import check_reduction, for_layer
from lossproof.backends.tensorflow.products import products
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_real


@for_layer("CosFaceLoss")
def cosface_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    class_weights: tf.Tensor,
    *,
    scale: float | tf.Tensor = 64.0,
    margin: float | tf.Tensor = 0.35,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the CosFace loss of rows.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * (cos(theta_y) - margin)`` for the label y, where theta_j
    is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32 or float64; a tf.Tensor,
            tf.Variable or numpy array.
        labels: integers of shape (B,) in [0, C). Elsewhere: an error where they are read, which is in a numpy array and
            in an eager tensor on the CPU, and the term is NaN in others.
        class_weights: rows of shape (C, D), of any length; same dtype or a wider one.
        scale: [0, inf); a tensor of shape () is used as it is and not checked.
        margin: in the unit of the cosine, [0, inf); a tensor of shape () is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum" or "mean" (over rows that take part).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    At kinks: a zero row has cosine 0 and gives and gets no gradient. Clauses CF-1 to CF-10, CE-1, CE-3, CE-4,
    CV-1 to CV-46, DD-1 to DD-19. Source: Wang et al. (2018), eq. 4.
    """
    replicas = joined(across_replicas)
    scale, margin = real("scale", scale, 0), real("margin", margin, 0)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    of_units = unit_weights(weights, mask, class_weights, embeddings=embeddings)
    units, labels, x = batch(weighing(mask, of_units), labels, class_weights, embeddings=embeddings)
    w = table("class_weights", class_weights, x.dtype, "embeddings", embeddings)
    classes, labels = rows_of(w, labels)
    labels, legal = in_range(labels, 0, classes - 1)

    cosine = products(unit_rows(x), unit_rows(w))  # CF-2, CF-4
    own = tf.equal(labels[:, tf.newaxis], tf.range(classes, dtype=labels.dtype))
    logits = number(scale, x.dtype) * tf.where(own, cosine - number(margin, x.dtype), cosine)  # CF-1, CF-3
    terms = spoilt(cross_entropy(logits, labels), ~legal)  # CV-33
    return reduce(terms, units if of_units is None else mask, reduction, of_units, replicas=replicas)


@keras.saving.register_keras_serializable(package="lossproof")
class CosFaceLoss(ClassWeights):
    """`cosface_loss` as a layer: the class weights are its weight, and a call returns the loss.

    The class weights start as random directions of about unit length. Labels may be (B,) or (B, 1), and whole numbers
    in floats. The embeddings may be narrower than the weights, and a mixed-precision policy does not change the loss.
    `add_loss` of a model's `call` takes what this returns.

    `mean` divides by the number of rows, whatever `weights` are, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        num_classes: number of classes, at least 1.
        embedding_dim: length of a row of the embeddings.
        scale: [0, inf).
        margin: in the unit of the cosine, [0, inf).
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy, and the result is their number times the
            share of this one, for Keras averages over them what `add_loss` takes; False: each has a batch of its own.
        **layer: what every Keras layer takes: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import CosFaceLoss
        >>> loss = CosFaceLoss(num_classes=2, embedding_dim=2)
        >>> tuple(loss(np.array([[1.0, 0.0], [0.0, 2.0]], "float32"), np.array([0, 1])).shape)
        ()
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        reduction: str = "mean",
        across_replicas: bool = False,
        **layer: Any,
    ) -> None:
        check_real("scale", scale, 0)
        check_real("margin", margin, 0)
        check_reduction(reduction, REDUCTIONS[:3])
        sizes = {"num_classes": num_classes, "embedding_dim": embedding_dim}
        options = {"scale": float(scale), "margin": float(margin), "reduction": reduction}
        super().__init__(cosface_loss, sizes, options, across_replicas, **layer)
