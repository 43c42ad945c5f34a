"""Joint loss (spec/joint.md)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import arithmetic, describe, number, real
from lossproof.backends.tensorflow.batch_hard import batch_hard_triplet_loss
from lossproof.backends.tensorflow.center import center_loss
from lossproof.backends.tensorflow.cross_entropy import cross_entropy_loss
from lossproof.backends.tensorflow.distributed import across, as_added
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import for_layer, taken, taken_weights
from lossproof.backends.tensorflow.weights import unit_weights
from lossproof.spec.arguments import check_as_wide, check_batch, check_bool, check_classes, check_real


@for_layer("JointLoss")
def joint_loss(
    logits: tf.Tensor,
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    centers: tf.Tensor,
    *,
    triplet_weight: float | tf.Tensor = 1.0,
    center_weight: float | tf.Tensor = 5e-4,
    triplet_margin: float | tf.Tensor = 0.3,
    label_smoothing: float | tf.Tensor = 0.1,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the joint loss of re-identification.

    ``cross_entropy + triplet_weight * batch_hard + center_weight * mean |x - c_y|^2``, each a mean of its own.

    Args:
        logits: rows of shape (B, K), of the dtype of the embeddings or a wider one; K is known.
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,) in [0, K). Elsewhere: an error where they are read, which is in a numpy array
            and in an eager tensor on the CPU, and the loss is NaN in others.
        centers: one row for each class, (K, D), of the dtype of the embeddings or a wider one.
        triplet_weight: [0, inf); this and the other numbers may be tensors of shape (), used as they are, not checked.
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies the terms of its
            row in all three parts, and each mean divides by its own sum of them. Others: an error on the host, and on a
            device (or compiled) the loss is NaN.
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss, of shape (); float64 if an input is, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Kinks are those of the parts. Clauses JO-1 to JO-10, with CE-1, CE-2, BH-1, BH-2, CN-1; CV-1 to CV-46, DD-1 to
    DD-19. Source: Luo et al. (2019), eq. 5.
    """
    triplet_weight, center_weight = real("triplet_weight", triplet_weight, 0), real("center_weight", center_weight, 0)
    margin = real("triplet_margin", triplet_margin, 0)  # CV-28
    (shape_x, dtype_x), (shape, dtype) = describe("embeddings", embeddings), describe("logits", logits)
    shape_c, dtype_c = describe("centers", centers)
    check_batch("embeddings", shape_x, dtype_x)  # CV-34
    check_batch("logits", shape, dtype)
    check_as_wide("logits", dtype, "embeddings", dtype_x)  # CV-26
    check_as_wide("centers", dtype_c, "embeddings", dtype_x)
    check_classes("centers", shape_c, shape[1])  # JO-8
    w = unit_weights(weights, mask, logits, centers, embeddings=embeddings)  # CV-45
    wide = arithmetic(logits, embeddings, centers)  # once, so that a gradient is rounded once: CV-16
    logits, embeddings, centers = (tf.cast(value, wide) for value in (logits, embeddings, centers))
    units: dict[str, Any] = {"mask": mask, "weights": w, "across_replicas": across_replicas}  # JO-10
    own = cross_entropy_loss(logits, labels, label_smoothing=label_smoothing, **units)  # JO-2
    triplet = batch_hard_triplet_loss(embeddings, labels, margin=margin, **units)  # JO-3
    center = center_loss(embeddings, labels, centers, factor=1.0, **units)  # JO-4
    w_t, w_c = number(triplet_weight, own.dtype), number(center_weight, own.dtype)
    return own + w_t * triplet + w_c * center  # JO-1, JO-5, JO-7


@keras.saving.register_keras_serializable(package="lossproof")
class JointLoss(keras.layers.Layer):  # type: ignore[misc]
    """`joint_loss` as a layer: the centers are its weight, standard normal at first, and a call returns the loss.

    Labels may be (B,) or (B, 1), and whole numbers in floats. The embeddings may be narrower than logits and centers,
    and a mixed-precision policy does not change the loss. `add_loss` of a model's `call` takes what this returns.
    With `weights` each part divides by its own sum of them, as in the function.

    Args:
        num_classes: number of classes, at least 1.
        num_features: length of a row of the embeddings.
        triplet_weight: [0, inf).
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        across_replicas: the batch is spread over the replicas of the strategy, and the result is their number times the
            share of this one, for Keras averages over them what `add_loss` takes; False: each has a batch of its own.
        **layer: what every Keras layer takes: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import JointLoss
        >>> loss = JointLoss(num_classes=2, num_features=2)
        >>> logits = np.eye(2, dtype="float32")
        >>> tuple(loss(logits, np.array([[1.0, 0.0], [0.0, 2.0]], "float32"), np.array([0, 1])).shape)
        ()
    """

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        triplet_weight: float = 1.0,
        center_weight: float = 5e-4,
        triplet_margin: float = 0.3,
        label_smoothing: float = 0.1,
        across_replicas: bool = False,
        **layer: Any,
    ) -> None:
        given = {"triplet_weight": triplet_weight, "center_weight": center_weight, "triplet_margin": triplet_margin}
        for name, value in given.items():
            check_real(name, value, 0)  # CV-28
        check_real("label_smoothing", label_smoothing, 0, high=1)
        check_bool("across_replicas", across_replicas)
        super().__init__(autocast=False, **layer)
        self.across_replicas = across_replicas
        self.sizes = {"num_classes": num_classes, "num_features": num_features}
        self.options: dict[str, Any] = {
            name: float(value) for name, value in (given | {"label_smoothing": label_smoothing}).items()
        }
        start = keras.initializers.RandomNormal(0.0, 1.0)
        shape = (num_classes, num_features)
        self.centers = self.add_weight(shape=shape, initializer=start, autocast=False, name="centers")

    @as_written
    def call(
        self,
        logits: tf.Tensor,
        embeddings: tf.Tensor,
        labels: tf.Tensor,
        mask: tf.Tensor | None = None,
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the loss of the rows; see `joint_loss`."""
        labels, embeddings = taken(labels, embeddings)
        units: dict[str, Any] = {"mask": mask, "weights": taken_weights("weights", weights, embeddings=embeddings)}
        units |= {"across_replicas": across(self.across_replicas), **self.options}
        found = joint_loss(logits, embeddings, labels, tf.convert_to_tensor(self.centers), **units)
        return as_added(found, "mean", self.across_replicas)

    def get_config(self) -> dict[str, Any]:
        """Return sizes and options, from which `from_config` builds an equal layer."""
        return {**super().get_config(), **self.sizes, **self.options, "across_replicas": self.across_replicas}
