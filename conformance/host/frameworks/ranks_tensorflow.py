"""A batch over the replicas of a strategy in TensorFlow: logical devices of one process."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from lossproof.conformance.host.frameworks import NotALoss, Request
from lossproof.conformance.host.frameworks.tensorflow import TensorFlow, named, tensor
from lossproof.conformance.host.ranks import KEYWORDS, own_rows

_ZERO = tf.UnconnectedGradients.ZERO


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

        def of_replica(array: Any, name: str, rank: int) -> Any:
            return own_rows(array, split, rank) if name in ask.aligned else array

        replicas = range(self.world)
        held = [{n: tensor(of_replica(a, n, rank), d) for n, (a, d) in ask.inputs.items()} for rank in replicas]
        names, floats = list(held[0]), [name for name, part in held[0].items() if part.dtype.is_floating]
        along = [
            [tensor(of_replica(ask.tangents[n], n, rank), ask.inputs[n][1]) for n in floats if ask.order == 2]
            for rank in replicas
        ]
        given = [self._spread([part[name] for part in held]) for name in names]
        beside = [self._spread(list(parts)) for parts in zip(*along, strict=True)]

        def on_replica(seed: Any, beside: Any, *values: Any) -> Any:
            own = dict(zip(names, values, strict=True))
            rows = [own[name] for name in floats]
            with tf.GradientTape() as outer:
                outer.watch(rows)
                with tf.GradientTape() as tape:
                    tape.watch(rows)
                    value = ask.function(**own)
                    if not isinstance(value, tf.Tensor):
                        raise NotALoss(f"the loss returned {type(value).__name__}, not a tensor")
                if not ask.order:
                    return value, [], []
                seeded = tf.reshape(tf.cast(seed, value.dtype), tf.shape(value))
                gradients = tape.gradient(value, rows, seeded, unconnected_gradients=_ZERO)
                product = tf.add_n([tf.reduce_sum(g * v) for g, v in zip(gradients, beside, strict=False)] or [0.0])
            return value, gradients, outer.gradient(product, rows, unconnected_gradients=_ZERO) if beside else []

        found = self.strategy.run(
            on_replica, args=(self._spread([self._seed(ask, split, r) for r in replicas]), beside, *given)
        )
        value, gradients, second = tf.nest.map_structure(self.strategy.experimental_local_results, found)
        parts: list[dict[str, Any]] = [{"value": named(value[rank])} for rank in replicas]
        for kind, every in (("gradients", gradients), ("second", second)):
            if every:
                for rank, part in enumerate(parts):
                    part[kind] = {n: named(tf.convert_to_tensor(g[rank])) for n, g in zip(floats, every, strict=True)}
        return parts

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
