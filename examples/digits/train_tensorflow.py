"""The network in TensorFlow and Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from shared import CLASSES, HIDDEN, MOMENTUM, Array, Setup

from lossproof.backends import tensorflow as losses


class Network(keras.Model):  # type: ignore[misc]
    """Digits to embeddings, with the given initial weights."""

    def __init__(self, setup: Setup, dtype: str) -> None:
        super().__init__(dtype=dtype)
        given = setup.weights
        self.hidden = keras.layers.Dense(HIDDEN, activation="relu", dtype=dtype)
        self.outer = keras.layers.Dense(len(given["b2"]), dtype=dtype)
        self.classes = keras.layers.Dense(CLASSES, dtype=dtype) if "w3" in given else None
        if "centers" in given:
            start = keras.initializers.Constant(given["centers"])
            self.centers = self.add_weight(shape=given["centers"].shape, initializer=start, dtype=dtype)
        self.hidden.build((None, len(given["w1"])))
        self.outer.build((None, HIDDEN))
        self.hidden.set_weights([given["w1"], given["b1"]])
        self.outer.set_weights([given["w2"], given["b2"]])
        if self.classes is not None:
            self.classes.build((None, len(given["b2"])))
            self.classes.set_weights([given["w3"], given["b3"]])

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Return the embeddings of images."""
        return self.outer(self.hidden(images))


def loss_function(setup: Setup) -> Any:
    """Return the loss of what the batch holds; the triplets go through Keras' form, one (N, 3 D) prediction (S6)."""
    objective = setup.objective
    if objective.loss == "triplet_margin_loss":
        keras_loss = losses.TripletMarginLoss(**objective.options)
        return lambda a, p, n: keras_loss(None, tf.concat([a, p, n], axis=-1))
    function = getattr(losses, objective.loss)
    return lambda *arguments: function(*arguments, **objective.options)


def train(setup: Setup, dtype: str) -> Iterator[float | Array]:
    """Yield the embeddings of the held-out digits, the loss of each step, and these embeddings again."""
    network = Network(setup, dtype)
    objective = setup.objective
    optimizer = keras.optimizers.SGD(objective.rate, momentum=MOMENTUM)
    loss_of, names = loss_function(setup), objective.passes
    images, seen = tf.constant(setup.images, dtype), tf.constant(setup.seen, dtype)
    labels = tf.constant(setup.labels)

    @tf.function
    def step(rows: tf.Tensor, dissimilar: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            known = dict(
                zip(names, [network(tf.gather(images, row)) for row in tf.unstack(rows)], strict=True)
            )  # shared weights
            known |= {"labels": tf.gather(labels, rows[0]), "dissimilar": dissimilar}
            if "logits" in objective.arguments:
                known["logits"] = network.classes(known["embeddings"])
            if "centers" in objective.arguments:
                known["centers"] = tf.convert_to_tensor(network.centers)
            loss = loss_of(*(known[name] for name in objective.arguments))
        weights = network.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    yield np.asarray(network(seen))
    for rows, dissimilar in zip(setup.batches, setup.dissimilar, strict=True):
        yield float(step(tf.constant(rows), tf.constant(dissimilar)))
    yield np.asarray(network(seen))
