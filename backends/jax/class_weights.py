"""Rows and class weights at unit length."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient


def unit_rows(x: Array) -> Array:
    """Return the rows at unit length; a zero row stays zero and gets no gradient (AF-9, AF-14, CF-4, CF-8)."""
    largest = jnp.max(jnp.abs(stop_gradient(x)), axis=-1, keepdims=True)
    x = x / jnp.where(largest < np.finfo(x.dtype).tiny, 1, largest)  # the same angle, and no square overflows
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    zero = square == 0
    return jnp.where(zero, 0, x / jnp.sqrt(jnp.where(zero, 1, square)))
