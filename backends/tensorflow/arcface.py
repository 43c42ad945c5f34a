"""ArcFace loss (spec/arcface.md)."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import (
    batch,
    describe,
    filled,
    in_range,
    number,
    real,
    rows,
    rows_of,
    spoilt,
    table,
)
from lossproof.backends.tensorflow.class_weights import ClassWeights, unit_rows
from lossproof.backends.tensorflow.cross_entropy import cross_entropy
from lossproof.backends.tensorflow.distributed import joined
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import check_reduction, for_function, for_layer
from lossproof.backends.tensorflow.products import products
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_batch, check_choice, check_real

BEYOND_PI = ("keep", "linear", "continuous")


@for_layer("ArcFaceLoss")
def arcface_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    class_weights: tf.Tensor,
    *,
    scale: float | tf.Tensor = 64.0,
    margin: float | tf.Tensor = 0.5,
    beyond_pi: str = "keep",
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the ArcFace loss of rows.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * cos(theta_y + margin)`` for the label y, where
    theta_j is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32 or float64; a tf.Tensor,
            tf.Variable or numpy array.
        labels: integers of shape (B,) in [0, C). Elsewhere: an error where they are read, which is in a numpy array and
            in an eager tensor on the CPU, and the term is NaN in others.
        class_weights: rows of shape (C, D), of any length; same dtype or a wider one.
        scale: [0, inf); a tensor of shape () is used as it is and not checked.
        margin: in radians, [0, pi]; a tensor of shape () is used as it is and not checked.
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes
            ``cos(theta) - margin sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
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

    At kinks: gradient 0 of the label's logit where the angle is 0 or pi; a zero row has cosine 0 and gives and
    gets no gradient. Clauses AF-1 to AF-17, CE-1, CE-3, CE-4, CV-1 to CV-46, DD-1 to DD-19.
    Source: Deng et al. (2019), eq. 3.
    """
    replicas = joined(across_replicas)
    scale, margin = real("scale", scale, 0), real("margin", margin, 0, high=math.pi)  # AF-15
    _check_options(beyond_pi, reduction)
    of_units = unit_weights(weights, mask, class_weights, embeddings=embeddings)
    units, labels, x = batch(weighing(mask, of_units), labels, class_weights, embeddings=embeddings)
    w = table("class_weights", class_weights, x.dtype, "embeddings", embeddings)
    classes, labels = rows_of(w, labels)
    labels, legal = in_range(labels, 0, classes - 1)

    x, w = unit_rows(x), unit_rows(w)  # AF-2
    cosine = products(x, w)
    label_cosine = _label_cosine(x, tf.gather(w, labels), margin, beyond_pi)
    own = tf.equal(labels[:, tf.newaxis], tf.range(classes, dtype=labels.dtype))
    logits = number(scale, x.dtype) * tf.where(own, label_cosine[:, tf.newaxis], cosine)  # AF-1
    terms = spoilt(cross_entropy(logits, labels), ~legal)  # CV-33
    return reduce(terms, units if of_units is None else mask, reduction, of_units, replicas=replicas)


@as_written
def arcface_logits(embeddings: tf.Tensor, class_weights: tf.Tensor, *, scale: float | tf.Tensor = 64.0) -> tf.Tensor:
    """Return the logits of rows without a margin, by which one classifies.

    ``scale * cos(theta_j)``, where theta_j is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32 or float64; a tf.Tensor,
            tf.Variable or numpy array.
        class_weights: rows of shape (C, D), of any length; same dtype or a wider one.
        scale: [0, inf); a tensor of shape () is used as it is and not checked.

    Returns:
        The logits, of shape (B, C); float64 if an input is, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A zero row has logit 0 with every row, and gives and gets no gradient. Clauses AF-18 to AF-22.
    Source: Deng et al. (2019).
    """
    scale = real("scale", scale, 0)  # AF-21
    check_batch("embeddings", *describe("embeddings", embeddings))
    _, (x,) = rows(None, class_weights, embeddings=embeddings)
    w = table("class_weights", class_weights, x.dtype, "embeddings", embeddings)
    return number(scale, x.dtype) * products(unit_rows(x), unit_rows(w))  # AF-18, AF-19, AF-20


def _check_options(beyond_pi: str, reduction: str) -> None:
    check_choice("beyond_pi", beyond_pi, BEYOND_PI)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27


def _label_cosine(x: tf.Tensor, w: tf.Tensor, margin: float | tf.Tensor, beyond_pi: str) -> tf.Tensor:
    """Return cos(theta + margin), or what stands for it past pi, for each row of x and the same row of w."""
    if isinstance(margin, float):
        cos_m, sin_m = number(math.cos(margin), x.dtype), number(math.sin(margin), x.dtype)  # AF-3
    else:
        cos_m, sin_m = tf.cos(number(margin, x.dtype)), tf.sin(number(margin, x.dtype))
    cosine = tf.reduce_sum(x * w, axis=-1)
    away = x - cosine[:, tf.newaxis] * w
    square = tf.reduce_sum(away * away, axis=-1)
    flat = tf.equal(square, 0.0)  # no gradient there: AF-13
    sine = filled(tf.sqrt(filled(square, flat, 1.0)), flat, 0.0)  # AF-4, AF-11
    sine = filled(sine, _zero(x) | _zero(w), 1.0)  # AF-9, AF-14
    added = cosine * cos_m - sine * sin_m
    if beyond_pi == "keep":
        return added  # AF-5
    shift = -number(margin, x.dtype) * sin_m if beyond_pi == "linear" else cos_m - 1  # AF-6, AF-7
    return tf.where(cosine < -cos_m, cosine + shift, added)  # AF-8, AF-12


def _zero(unit: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.equal(unit, 0.0), axis=-1)


@keras.saving.register_keras_serializable(package="lossproof")
class ArcFaceLoss(ClassWeights):
    """`arcface_loss` as a layer: the class weights are its weight, and a call returns the loss.

    The class weights start as random directions of about unit length. Labels may be (B,) or (B, 1), and whole numbers
    in floats. The embeddings may be narrower than the weights, and a mixed-precision policy does not change the loss.
    `add_loss` of a model's `call` takes what this returns.

    `mean` divides by the number of rows, whatever `weights` are, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        num_classes: number of classes, at least 1.
        embedding_dim: length of a row of the embeddings.
        scale: [0, inf).
        margin: in radians, [0, pi].
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes ``cos(theta) - margin
            sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy, and the result is their number times the
            share of this one, for Keras averages over them what `add_loss` takes; False: each has a batch of its own.
        **layer: what every Keras layer takes: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import ArcFaceLoss
        >>> loss = ArcFaceLoss(num_classes=2, embedding_dim=2)
        >>> tuple(loss(np.array([[1.0, 0.0], [0.0, 2.0]], "float32"), np.array([0, 1])).shape)
        ()
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        beyond_pi: str = "keep",
        reduction: str = "mean",
        across_replicas: bool = False,
        **layer: Any,
    ) -> None:
        check_real("scale", scale, 0)
        check_real("margin", margin, 0, high=math.pi)  # AF-15
        check_reduction(reduction, REDUCTIONS[:3])
        _check_options(beyond_pi, for_function(reduction))
        sizes = {"num_classes": num_classes, "embedding_dim": embedding_dim}
        options = {"scale": float(scale), "margin": float(margin), "beyond_pi": beyond_pi, "reduction": reduction}
        super().__init__(arcface_loss, sizes, options, across_replicas, **layer)
