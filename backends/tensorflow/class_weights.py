"""Rows and class weights at unit length, and the layer that holds such weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled
from lossproof.backends.tensorflow.distributed import across, as_added
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import for_function, taken, taken_weights
from lossproof.spec.arguments import check_bool


def unit_rows(x: tf.Tensor) -> tf.Tensor:
    """Return the rows at unit length; a zero row stays zero and gets no gradient (AF-9, AF-14, CF-4, CF-8)."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(x), axis=-1, keepdims=True))
    negligible = largest < np.finfo(x.dtype.as_numpy_dtype).smallest_normal
    x = x / filled(largest, negligible, 1.0)  # the same angle, and no square overflows
    square = tf.reduce_sum(x * x, axis=-1, keepdims=True)
    zero = tf.equal(square, 0.0)
    return filled(x / tf.sqrt(filled(square, zero, 1.0)), zero, 0.0)


class ClassWeights(keras.layers.Layer):  # type: ignore[misc]
    """A loss with the class weights as its weight, (num_classes, embedding_dim); a call returns the loss.

    Args:
        function: the loss of embeddings, labels, class weights and options.
        sizes: `num_classes` and `embedding_dim`.
        options: the options of the function, which has accepted them.
        across_replicas: whether the batch is spread over the replicas of the strategy.
        **layer: what every Keras layer takes.
    """

    def __init__(
        self,
        function: Callable[..., tf.Tensor],
        sizes: dict[str, int],
        options: dict[str, Any],
        across_replicas: bool,
        **layer: Any,
    ) -> None:
        check_bool("across_replicas", across_replicas)
        super().__init__(autocast=False, **layer)
        self.function, self.sizes, self.options = function, sizes, options
        self.across_replicas = across_replicas
        start = keras.initializers.RandomNormal(0.0, sizes["embedding_dim"] ** -0.5)
        self.class_weights = self.add_weight(
            shape=tuple(sizes.values()), initializer=start, autocast=False, name="class_weights"
        )

    @as_written
    def call(
        self, embeddings: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor | None = None, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the loss of the rows; see the function."""
        labels, embeddings = taken(labels, embeddings)
        table = tf.convert_to_tensor(self.class_weights)
        units: dict[str, Any] = {"mask": mask, "weights": taken_weights("weights", weights, embeddings=embeddings)}
        reduction = self.options["reduction"]
        units |= {"reduction": for_function(reduction), "across_replicas": across(self.across_replicas)}
        found = self.function(embeddings, labels, table, **{**self.options, **units})
        return as_added(found, reduction, self.across_replicas)

    def get_config(self) -> dict[str, Any]:
        """Return sizes and options, from which `from_config` builds an equal layer."""
        return {**super().get_config(), **self.sizes, **self.options, "across_replicas": self.across_replicas}
