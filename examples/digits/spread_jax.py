"""A batch spread over devices in JAX: `shard_map`, and the gradient of the total of the shares, taken outside of it."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import PartitionSpec as P
from shared import MOMENTUM, Setup
from train_jax import Weights, network

from lossproof.backends import jax as losses


def train(setup: Setup, dtype: str, split: tuple[int, ...]) -> Iterator[float | np.ndarray]:
    """Yield the loss of each step, and all weights in the end; the blocks of a batch are of one size."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    objective = setup.objective
    loss_of = getattr(losses, objective.loss)
    images, labels = jnp.asarray(setup.images, dtype), jnp.asarray(setup.labels, "int32")
    weights = {name: jnp.asarray(w, dtype) for name, w in setup.weights.items()}
    speed = jax.tree.map(jnp.zeros_like, weights)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[: len(split)]), ("data",))

    def total(w: Weights, images: Array, labels: Array) -> Array:
        share = loss_of(network(w, images), labels, axis_name="data", **objective.options)
        return lax.psum(share, "data")

    spread = jax.shard_map(total, mesh=mesh, in_specs=(P(), P("data"), P("data")), out_specs=P())

    @jax.jit
    def step(w: Weights, speed: Weights, rows: Array) -> tuple[Weights, Weights, Array]:
        value, gradient = jax.value_and_grad(spread)(w, images[rows], labels[rows])
        speed = jax.tree.map(lambda s, g: MOMENTUM * s + g, speed, gradient)
        return jax.tree.map(lambda x, s: x - objective.rate * s, w, speed), speed, value

    for rows in jnp.asarray(setup.batches[:, 0], "int32"):
        weights, speed, value = step(weights, speed, rows)
        yield float(value)
    yield np.concatenate([np.ravel(weights[name]) for name in setup.weights])
