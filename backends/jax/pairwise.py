"""The pairs of anchors and candidates: their distances, and which is nearest (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import reduce_precision, stop_gradient

from lossproof.backends.jax.candidates import Sets
from lossproof.backends.jax.distances import row_distance
from lossproof.backends.jax.products import products

_BLOCK = 2**20  # numbers in a block of differences: XLA on a CPU does not fuse them into their sum


def floored_distance(x: Array, y: Array, distance: str, floor: float) -> Array:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    return jnp.where(d <= floor, floor, d) if floor else d


def over_rows(f: Callable[[Array], Array], rows: Array, others: Array) -> Array:
    """Map a function of one row, which compares it with all others, over the rows: one block of them at a time."""
    count, size = rows.shape[0], others.size
    if not (isinstance(count, int) and isinstance(size, int)):  # a symbol of `jax.export`
        return jnp.asarray(jax.lax.map(f, rows))
    block = max(1, min(count, _BLOCK // size))
    whole = count - count % block
    of_blocks = jax.lax.map(jax.vmap(f), rows[:whole].reshape(-1, block, rows.shape[1]))
    found = of_blocks.reshape(whole, *of_blocks.shape[2:])
    return found if whole == count else jnp.concatenate([found, jax.vmap(f)(rows[whole:])])


def mining_distances(sets: Sets, distance: str) -> Array:
    """Return numbers (B, M) in the order of the distances, from differences of rows; they have no gradient."""
    sets = sets.changed(stop_gradient)
    if distance == "cosine":
        return _cosine_distances(sets.rows, sets.candidates if sets.second else None)
    squares: Array = _squares_in_order(sets.rows, sets.candidates)
    return squares


@jax.jit  # a map that stands in no other jax.jit would be compiled in every call
def _squares_in_order(rows: Array, others: Array) -> Array:
    largest = float(np.finfo(rows.dtype).max)

    def of_row(row: Array) -> Array:
        t = row[None] - others
        return jnp.minimum(jnp.sum(t * t, axis=-1), largest)

    return over_rows(of_row, rows, others)


def nearest(d: Array, valid: Array) -> Array:
    """Return the valid column of the least distance of each row, the lowest of those that tie: no filler is chosen."""
    least = jnp.min(jnp.where(valid, d, float(np.finfo(d.dtype).max)), axis=-1, keepdims=True)
    return jnp.argmax(valid & (d <= least), axis=-1)


def farthest(d: Array, valid: Array) -> Array:
    """Return the valid column of the greatest distance of each row, the lowest of those that tie."""
    return nearest(-d, valid)


def units(rows: Array) -> Array:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = jnp.max(jnp.abs(stop_gradient(rows)), axis=-1, keepdims=True)
    rows = rows / jnp.where(largest < np.finfo(rows.dtype).tiny, 1, largest)
    square = jnp.sum(rows * rows, axis=-1, keepdims=True)
    zero = square == 0
    return jnp.where(zero, 0, rows / jnp.sqrt(jnp.where(zero, 1, square)))


def _cosine_distances(rows: Array, others: Array | None) -> Array:
    """Return 1 less the cosines of each row with each other one, or with each row of a second set: CV-20."""
    rows = units(rows)
    return 1 - products(rows, rows if others is None else units(others))


def distance_matrix(
    rows: Array, whole: Array, distance: str, pairwise: str, second: tuple[Array, Array] | None = None
) -> Array:
    """Return the distances (B, B) of rows that are finite, or (B, M) from the rows of a second set: PW-6.

    `whole` says which rows count in the mean, and beside the rows of a second set stands the same of them.
    """
    if distance == "cosine":
        return _cosine_distances(rows, second[0] if second else None)
    square = _squares(rows, second[0] if second else rows) if pairwise == "direct" else _gram(rows, whole, second)
    zero = square <= 0
    square = jnp.where(zero, 1, jnp.minimum(square, float(np.finfo(rows.dtype).max) / 4))  # CV-19
    return jnp.where(zero, 0, jnp.sqrt(square) if distance == "euclidean" else square)  # DI-15


def _gram(rows: Array, whole: Array, second: tuple[Array, Array] | None) -> Array:
    """Return |x|^2 + |y|^2 - 2 x.y of rows from which their origin is subtracted: grade `centred`."""
    limit = 0.25 * (float(np.finfo(rows.dtype).max) / rows.shape[-1]) ** 0.5
    parts = [(rows, whole)] if second is None else [second, (rows, whole)]
    origin = _origin([(stop_gradient(part), counted) for part, counted in parts], limit)
    *others, x = (jnp.clip(part - origin[None], -limit, limit) for part, _ in parts)  # CV-19
    if others:
        (y,) = others
        return jnp.sum(x * x, axis=-1)[:, None] + jnp.sum(y * y, axis=-1)[None] - 2 * products(x, y)
    inner = products(x, x)
    squares = jnp.diagonal(inner)
    return jnp.asarray(squares[:, None] + squares[None] - 2 * inner)


def _origin(parts: list[tuple[Array, Array]], limit: float) -> Array:
    """Return the mean of the rows that count, 4 bits of it seen from one of them: dyadic rows stay dyadic."""
    first, total, number = _first(parts), [], []
    for rows, counted in parts:
        away = jnp.where(counted[:, None], jnp.clip(rows - first[None], -limit, limit), 0)
        total.append(jnp.sum(away, axis=0))
        number.append(jnp.sum(counted))
    mean = sum(total[1:], total[0]) / jnp.maximum(sum(number[1:], number[0]), 1).astype(first.dtype)
    return first + reduce_precision(mean, exponent_bits=np.finfo(first.dtype).nexp, mantissa_bits=3)


def _first(parts: list[tuple[Array, Array]]) -> Array:
    """Return the first row that counts, or any where none does."""
    (rows, counted), *more = parts
    first = rows[jnp.argmax(counted)]
    return jnp.where(jnp.any(counted), first, _first(more)) if more else first


@jax.jit
def _squares(rows: Array, others: Array) -> Array:
    """Return sums of squared differences of every row and other; they are formed again in the backward pass."""
    limit = 0.25 * float(np.finfo(rows.dtype).max) ** 0.5

    @jax.checkpoint
    def of_row(row: Array) -> Array:
        t = jnp.clip(row[None] - others, -limit, limit)  # CV-19
        return jnp.sum(t * t, axis=-1)

    return over_rows(of_row, rows, others)
