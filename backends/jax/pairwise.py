"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input
from lossproof.backends.jax.distances import row_distance

_BLOCK = 2**20  # numbers in a block of differences: XLA on a CPU does not fuse them into their sum


def candidates(labels: Input, mask: Input | None, *, include_self: bool = False) -> tuple[Array, Array]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    labels = jnp.asarray(labels)
    same = labels[:, None] == labels  # CV-32
    positive, negative = same, ~same
    if not include_self:
        positive = same & ~jnp.eye(labels.shape[0], dtype=bool)
    if mask is not None:
        mask = jnp.asarray(mask)
        both = mask[:, None] & mask
        positive, negative = positive & both, negative & both
    return positive, negative


def floored_distance(x: Array, y: Array, distance: str, floor: float) -> Array:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    return jnp.where(d <= floor, floor, d) if floor else d


def over_rows(f: Callable[[Array], Array], rows: Array) -> Array:
    """Map a function of one row, which compares it with all, over the rows: one block of them at a time."""
    return jax.lax.map(f, rows, batch_size=max(1, min(rows.shape[0], _BLOCK // rows.size)))


def mining_distances(rows: Array, distance: str) -> Array:
    """Return numbers (B, B) in the order of the distances, from differences of rows; they have no gradient."""
    rows = stop_gradient(rows)
    if distance == "cosine":
        return 1 - products(units(rows))
    largest = float(np.finfo(rows.dtype).max)

    def squares(row: Array) -> Array:
        t = row - rows
        return jnp.minimum(jnp.sum(t * t, axis=-1), largest)

    return over_rows(squares, rows)


def units(rows: Array) -> Array:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = jnp.max(jnp.abs(stop_gradient(rows)), axis=-1, keepdims=True)
    rows = rows / jnp.where(largest < np.finfo(rows.dtype).tiny, 1, largest)
    square = jnp.sum(rows * rows, axis=-1, keepdims=True)
    zero = square == 0
    return jnp.where(zero, 0, rows / jnp.sqrt(jnp.where(zero, 1, square)))


def products(rows: Array) -> Array:
    """Return the inner products of every two rows, in the full precision of their dtype: CV-20."""
    return jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)


def poisoned(terms: Array, rows: Array) -> Array:
    """Return NaN for every term if a row that takes part holds NaN: each is a candidate of every anchor (PW-5)."""
    return jnp.where(jnp.any(jnp.isnan(rows)), jnp.nan, terms)
