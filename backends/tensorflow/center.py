"""Center loss and the update of the centers (spec/center.md)."""

from __future__ import annotations

from math import inf
from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import batch, filled, in_range, number, real, rows_of, spoilt, table
from lossproof.backends.tensorflow.distances import quarter
from lossproof.backends.tensorflow.distributed import across, as_added, every_row, for_update, joined
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import check_reduction, for_function, for_layer, taken, taken_weights
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_real


@for_layer("CenterLoss")
def center_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    centers: tf.Tensor,
    *,
    factor: float | tf.Tensor = 0.5,
    floor: float = 0.0,
    ceiling: float = inf,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the center loss of a batch.

    ``factor * min(max(|x - c_y|^2, floor), ceiling)`` for each row x with label y.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or numpy
            array.
        labels: integers of shape (B,), in [0, C).
        centers: one row for each class, (C, D), of the dtype of the embeddings or a wider one.
        factor: [0, inf); 0.5 in the paper; a tensor of shape () is used as it is and not checked.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum" or "mean" (over the rows that take part).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it. A label outside
            [0, C) raises where labels are read, which is in a numpy array and in an eager tensor on the CPU; in others
            it makes its own term NaN.

    At or below the floor, and at or above the ceiling, the gradient is 0. Clauses CN-1 to CN-10, CV-1 to CV-46, DD-1 to
    DD-19. Source: Wen et al. (2016), eq. 2.
    """
    replicas = joined(across_replicas)
    factor = real("factor", factor, 0)
    _check_options(floor, ceiling, reduction)
    w = unit_weights(weights, mask, centers, embeddings=embeddings)
    units, own, x = batch(weighing(mask, w), labels, centers, embeddings=embeddings)
    c = table("centers", centers, x.dtype, "embeddings", embeddings)
    classes, own = rows_of(c, own)
    y, legal = in_range(own, 0, classes - 1)
    factor = number(factor, x.dtype)

    t = _met(quarter(x, _own(c, y)), legal if units is None else legal & units)
    largest = float(t.dtype.max)
    low, high = (min(float(bound), largest / 4) for bound in (floor, ceiling))
    high = tf.minimum(number(high, t.dtype), tf.stop_gradient(largest / 4 / tf.maximum(factor, 1.0)))  # CV-19
    square = 16 * tf.reduce_sum(t * t, axis=-1)
    if low:
        square = filled(square, square <= low, low)  # CN-2, CN-9
    square = tf.where(square >= high, high, square)
    terms = spoilt(factor * square, ~legal)  # CN-1, CV-33
    return reduce(terms, units if w is None else mask, reduction, w, replicas=replicas)


def _check_options(floor: float, ceiling: float, reduction: str) -> None:
    check_real("floor", floor, 0)  # CV-28
    check_real("ceiling", ceiling, float(floor), finite=False)  # CN-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27


def _own(c: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return the center of each row: CN-3, CN-6."""
    # not along axis 0: there the gradient is of one slice a row, which is cast to a half format before it is added
    return tf.gather(c[tf.newaxis], y, axis=1)[0]


def _met(differences: tf.Tensor, met: tf.Tensor) -> tf.Tensor:
    """Return the differences, and 0 for the rows that meet no center."""
    return filled(differences, ~met[:, tf.newaxis], 0.0)


@as_written
def update_centers(
    centers: tf.Tensor,
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    alpha: float | tf.Tensor = 0.5,
    mask: tf.Tensor | None = None,
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the centers after one batch; nothing is differentiated.

    ``c_j + alpha * sum(x_i - c_j) / (1 + n_j)`` over the n_j rows with label j; a center without rows is unchanged.

    Args:
        centers: one row for each class, (C, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or
            numpy array.
        embeddings: rows of shape (B, D), of the dtype of the centers or a narrower one.
        labels: integers of shape (B,), in [0, C). Another one raises in a numpy array and in an eager tensor on
            the CPU; in others its row moves nothing.
        alpha: [0, 1]; a tensor of shape () is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows;
            afterwards all have the same. False: the rows of this replica are the batch.

    Returns:
        The new centers, (C, D), in their dtype.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses CN-11 to CN-16, DD-17. Source: Wen et al. (2016), eq. 4.
    """
    alpha = real("alpha", alpha, 0, high=1)  # CN-16
    embeddings, labels, mask = every_row(embeddings, labels, mask, joined(across_replicas))  # DD-17
    mask, own, x = batch(mask, labels, centers, embeddings=embeddings)
    c = table("centers", centers, x.dtype, "embeddings", embeddings)
    classes, own = rows_of(c, own)
    y, legal = in_range(own, 0, classes - 1)

    met = legal if mask is None else legal & mask  # CN-13
    rows = tf.math.unsorted_segment_sum(tf.cast(met, c.dtype), y, classes)
    largest = float(c.dtype.max)
    steps = tf.clip_by_value(_met(x - _own(c, y), met), -largest, largest) / tf.gather(1.0 + rows, y)[:, tf.newaxis]
    move = tf.math.unsorted_segment_sum(steps, y, classes)
    moved = tf.where(rows[:, tf.newaxis] > 0, c + number(alpha, c.dtype) * move, c)  # CN-11, CN-12
    return tf.stop_gradient(tf.cast(moved, centers.dtype))  # CN-14


@keras.saving.register_keras_serializable(package="lossproof")
class CenterLoss(keras.layers.Layer):  # type: ignore[misc]
    """`center_loss` as a layer: the centers are its weight, standard normal at first, and a call returns the loss.

    Train them with the model's optimizer (S15); or call `update` after the forward pass and set `trainable` to False
    (S14). Labels may be (B,) or (B, 1), and whole numbers in floats. The embeddings may be narrower than the centers,
    and a mixed-precision policy does not change the loss. `add_loss` of a model's `call` takes what this returns.

    `mean` divides by the number of rows, whatever `weights` are, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        num_classes: number of classes, at least 1.
        num_features: length of a row of the embeddings.
        factor: [0, inf); 0.5 in the paper.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        reduction: "none", "sum", "mean" (over the rows that take part) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy, and the result is their number times the
            share of this one, for Keras averages over them what `add_loss` takes; False: each has a batch of its own.
        **layer: what every Keras layer takes: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import CenterLoss
        >>> loss = CenterLoss(num_classes=2, num_features=2)
        >>> tuple(loss(np.array([[1.0, 0.0], [0.0, 2.0]], "float32"), np.array([0, 1])).shape)
        ()
    """

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        factor: float = 0.5,
        floor: float = 0.0,
        ceiling: float = inf,
        reduction: str = "mean",
        across_replicas: bool = False,
        **layer: Any,
    ) -> None:
        check_real("factor", factor, 0)  # CV-28
        check_reduction(reduction, REDUCTIONS[:3])
        _check_options(floor, ceiling, for_function(reduction))
        check_bool("across_replicas", across_replicas)
        super().__init__(autocast=False, **layer)
        self.across_replicas = across_replicas
        self.sizes = {"num_classes": num_classes, "num_features": num_features}
        self.options: dict[str, Any] = {
            "factor": float(factor), "floor": float(floor), "ceiling": float(ceiling), "reduction": reduction,
        }  # fmt: skip
        shape = (num_classes, num_features)
        start = keras.initializers.RandomNormal(0.0, 1.0)
        self.centers = self.add_weight(shape=shape, initializer=start, autocast=False, name="centers")

    @as_written
    def call(
        self, embeddings: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor | None = None, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the loss of the rows; see `center_loss`."""
        labels, embeddings = taken(labels, embeddings)
        units: dict[str, Any] = {"mask": mask, "weights": taken_weights("weights", weights, embeddings=embeddings)}
        reduction = self.options["reduction"]
        units |= {"reduction": for_function(reduction), "across_replicas": across(self.across_replicas)}
        found = center_loss(embeddings, labels, tf.convert_to_tensor(self.centers), **{**self.options, **units})
        return as_added(found, reduction, self.across_replicas)

    def update(
        self, embeddings: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor | None = None, *, alpha: float | tf.Tensor = 0.5
    ) -> None:
        """Move the centers as `update_centers` does; beside other replicas the layer needs `across_replicas`."""
        options: dict[str, Any] = {"alpha": alpha, "across_replicas": for_update(self.across_replicas)}  # DD-17
        labels, embeddings = taken(labels, embeddings)
        centers = tf.convert_to_tensor(self.centers)
        self.centers.assign(update_centers(centers, embeddings, labels, mask=mask, **options))

    def get_config(self) -> dict[str, Any]:
        """Return sizes and options, from which `from_config` builds an equal layer."""
        return {**super().get_config(), **self.sizes, **self.options, "across_replicas": self.across_replicas}
