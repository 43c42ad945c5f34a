"""The network in JAX."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from shared import MOMENTUM, Setup

from lossproof.backends import jax as losses

Weights = dict[str, Array]


def network(w: Weights, images: Array) -> Array:
    """Return the embeddings of images."""
    return jax.nn.relu(images @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]


def train(setup: Setup, dtype: str) -> Iterator[float | np.ndarray]:
    """Yield the embeddings of the held-out digits, the loss of each step, and these embeddings again."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    objective = setup.objective
    loss_of, names = getattr(losses, objective.loss), objective.passes
    images, seen = jnp.asarray(setup.images, dtype), jnp.asarray(setup.seen, dtype)
    labels, batches = jnp.asarray(setup.labels, "int32"), jnp.asarray(setup.batches, "int32")
    weights = {name: jnp.asarray(w, dtype) for name, w in setup.weights.items()}
    speed = jax.tree.map(jnp.zeros_like, weights)

    def loss(w: Weights, rows: Array, dissimilar: Array) -> Array:
        known = dict(zip(names, [network(w, images[row]) for row in rows], strict=True))  # shared weights
        known |= {"labels": labels[rows[0]], "dissimilar": dissimilar}
        if "logits" in objective.arguments:
            known["logits"] = known["embeddings"] @ w["w3"] + w["b3"]
        if "centers" in objective.arguments:
            known["centers"] = w["centers"]
        return loss_of(*(known[name] for name in objective.arguments), **objective.options)

    @jax.jit
    def step(w: Weights, speed: Weights, rows: Array, dissimilar: Array) -> tuple[Weights, Weights, Array]:
        value, gradient = jax.value_and_grad(loss)(w, rows, dissimilar)
        speed = jax.tree.map(lambda s, g: MOMENTUM * s + g, speed, gradient)
        return jax.tree.map(lambda x, s: x - objective.rate * s, w, speed), speed, value

    yield np.asarray(network(weights, seen))
    for rows, dissimilar in zip(batches, setup.dissimilar, strict=True):
        weights, speed, value = step(weights, speed, rows, dissimilar)
        yield float(value)
    yield np.asarray(network(weights, seen))
