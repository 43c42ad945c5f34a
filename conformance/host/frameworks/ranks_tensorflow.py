"""A batch over the replicas of a strategy in TensorFlow: logical devices of one process."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from lossproof.conformance.host.frameworks import NotALoss, Request
from lossproof.conformance.host.frameworks.tensorflow import TensorFlow, named, tensor
from lossproof.conformance.host.ranks import KEYWORDS, own_rows


class TensorFlowRanks:
    """`tf.distribute.MirroredStrategy`; each replica takes its own rows, and the gradient of what it returns."""

    keyword = KEYWORDS["tensorflow"]
    group = True

    def __init__(self, world: int):
        (first,) = tf.config.list_physical_devices("CPU")[:1]
        tf.config.set_logical_device_configuration(first, [tf.config.LogicalDeviceConfiguration()] * world)
        self.adapter, self.world = TensorFlow("cpu"), world
        devices = [f"CPU:{rank}" for rank in range(world)]
        self.strategy = tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())

    def run(self, ask: Request, split: list[int]) -> list[dict[str, Any]]:
        """Return value and gradients of each replica."""
        if ask.order == 2:
            raise NotImplementedError("second derivatives are not asked here")
        parts = [
            {
                name: tensor(own_rows(array, split, rank) if name in ask.aligned else array, dtype)
                for name, (array, dtype) in ask.inputs.items()
            }
            for rank in range(self.world)
        ]
        seeds = [self._seed(ask, split, rank) for rank in range(self.world)]
        given = [self._spread([part[name] for part in parts]) for name in parts[0]]
        names = list(parts[0])
        floats = [name for name in names if parts[0][name].dtype.is_floating]

        def on_replica(seed: Any, *values: Any) -> Any:
            own = dict(zip(names, values, strict=True))
            with tf.GradientTape() as tape:
                for name in floats:
                    tape.watch(own[name])
                value = ask.function(**own)
                if not isinstance(value, tf.Tensor):
                    raise NotALoss(f"the loss returned {type(value).__name__}, not a tensor")
            if not ask.order:
                return value, []
            wanted = [own[name] for name in floats]
            seeded = tf.reshape(tf.cast(seed, value.dtype), tf.shape(value))
            return value, tape.gradient(value, wanted, seeded, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        value, gradients = self.strategy.run(on_replica, args=(self._spread(seeds), *given))
        values = self.strategy.experimental_local_results(value)
        every = [self.strategy.experimental_local_results(g) for g in gradients]
        return [
            {"value": named(values[rank])}
            | ({"gradients": {n: named(g[rank]) for n, g in zip(floats, every, strict=True)}} if ask.order else {})
            for rank in range(self.world)
        ]

    def _seed(self, ask: Request, split: list[int], rank: int) -> Any:
        """Return the cotangent of what a replica returns."""
        cotangent = ask.cotangent
        if cotangent is None or not ask.order:
            return tf.ones((), tf.float64)
        return tf.constant(own_rows(cotangent, split, rank) if cotangent.ndim else cotangent, tf.float64)

    def _spread(self, parts: list[Any]) -> Any:
        """Return values of which each replica has its own."""

        def of(context: Any) -> Any:
            return parts[context.replica_id_in_sync_group]

        return self.strategy.experimental_distribute_values_from_function(of)
