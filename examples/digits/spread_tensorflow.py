"""A batch spread over replicas in TensorFlow and Keras: MirroredStrategy on logical devices of one CPU."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from shared import MOMENTUM, Array, Setup
from spread import WORLDS, parts
from train_tensorflow import Network

from lossproof.backends import tensorflow as losses

CPU = tf.config.list_physical_devices("CPU")[0]  # its logical devices are counted once, before TensorFlow starts
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * max(WORLDS))


def train(setup: Setup, dtype: str, split: tuple[int, ...]) -> Iterator[float | Array]:
    """Yield the loss of each step, and all weights in the end."""
    places = [f"CPU:{place}" for place in range(len(split))]
    strategy = tf.distribute.MirroredStrategy(places, cross_device_ops=tf.distribute.ReductionToOneDevice())
    objective = setup.objective
    with strategy.scope():
        network = Network(setup, dtype)
        optimizer = keras.optimizers.SGD(objective.rate, momentum=MOMENTUM)  # adds up the gradients of the replicas
        optimizer.build(network.trainable_variables)
    loss_of = getattr(losses, objective.loss)
    images, labels = tf.constant(setup.images, dtype), tf.constant(setup.labels)

    def replica(rows: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            embeddings = network(tf.gather(images, rows))
            share = loss_of(embeddings, tf.gather(labels, rows), across_replicas=True, **objective.options)
        weights = network.trainable_variables
        optimizer.apply(tape.gradient(share, weights), weights)
        return losses.total_loss(share)

    @tf.function
    def step(rows: tf.distribute.DistributedValues) -> tf.Tensor:
        return strategy.run(replica, args=(rows,))

    for rows in setup.batches[:, 0]:
        own = [tf.constant(rows[part]) for part in parts(split)]
        spread = strategy.experimental_distribute_values_from_function(
            lambda context, own=own: own[context.replica_id_in_sync_group]
        )
        yield float(strategy.experimental_local_results(step(spread))[0])
    yield np.concatenate([np.ravel(w) for w in network.get_weights()])
