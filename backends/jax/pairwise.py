"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import reduce_precision, stop_gradient

from lossproof.backends.jax.arrays import Input, on_host
from lossproof.backends.jax.distances import row_distance
from lossproof.spec.arguments import check_most_positives

_BLOCK = 2**20  # numbers in a block of differences: XLA on a CPU does not fuse them into their sum


def candidates(labels: Input, mask: Input | None, *, include_self: bool = False) -> tuple[Array, Array]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    labels = jnp.asarray(labels)
    same = labels[:, None] == labels[None]  # CV-32
    positive, negative = same, ~same
    if not include_self:
        positive = same & ~jnp.eye(labels.shape[0], dtype=bool)
    if mask is not None:
        mask = jnp.asarray(mask)
        both = mask[:, None] & mask[None]
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
    count = rows.shape[0]
    if not isinstance(count, int):  # a symbol of `jax.export`
        return jnp.asarray(jax.lax.map(f, rows))
    block = max(1, min(count, _BLOCK // rows.size))
    whole = count - count % block
    of_blocks = jax.lax.map(jax.vmap(f), rows[:whole].reshape(-1, block, rows.shape[1]))
    found = of_blocks.reshape(whole, *of_blocks.shape[2:])
    return found if whole == count else jnp.concatenate([found, jax.vmap(f)(rows[whole:])])


def mining_distances(rows: Array, distance: str) -> Array:
    """Return numbers (B, B) in the order of the distances, from differences of rows; they have no gradient."""
    rows = stop_gradient(rows)
    if distance == "cosine":
        return 1 - products(units(rows))
    largest = float(np.finfo(rows.dtype).max)

    def squares(row: Array) -> Array:
        t = row[None] - rows
        return jnp.minimum(jnp.sum(t * t, axis=-1), largest)

    return over_rows(squares, rows)


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


def products(rows: Array) -> Array:
    """Return the inner products of every two rows, in the full precision of their dtype: CV-20."""
    return jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)


def poisoned(terms: Array, rows: Array) -> Array:
    """Return NaN for every term if a row that takes part holds NaN: each is a candidate of every anchor (PW-5)."""
    return jnp.where(jnp.any(jnp.isnan(rows)), jnp.nan, terms)


def distance_matrix(rows: Array, whole: Array, distance: str, pairwise: str) -> Array:
    """Return the distances (B, B) of rows that are finite; `whole` says which take part as they were given: PW-6."""
    if distance == "cosine":
        return 1 - products(units(rows))
    square = _squares(rows) if pairwise == "direct" else _gram(rows, whole)
    zero = square <= 0
    square = jnp.where(zero, 1, jnp.minimum(square, float(np.finfo(rows.dtype).max) / 4))  # CV-19
    return jnp.where(zero, 0, jnp.sqrt(square) if distance == "euclidean" else square)  # DI-15


def _gram(rows: Array, whole: Array) -> Array:
    """Return |x|^2 + |y|^2 - 2 x.y of rows from which their origin is subtracted: grade `centred`."""
    limit = 0.25 * (float(np.finfo(rows.dtype).max) / rows.shape[-1]) ** 0.5
    inner = products(jnp.clip(rows - _origin(stop_gradient(rows), whole, limit)[None], -limit, limit))  # CV-19
    squares = jnp.diagonal(inner)
    return jnp.asarray(squares[:, None] + squares[None] - 2 * inner)


def _origin(rows: Array, whole: Array, limit: float) -> Array:
    """Return the mean of the rows that take part, 4 bits of it seen from one of them: dyadic rows stay dyadic."""
    first = rows[jnp.argmax(whole)]
    away = jnp.where(whole[:, None], jnp.clip(rows - first[None], -limit, limit), 0)
    mean = jnp.sum(away, axis=0) / jnp.maximum(jnp.sum(whole), 1).astype(rows.dtype)
    return first + reduce_precision(mean, exponent_bits=np.finfo(rows.dtype).nexp, mantissa_bits=3)


def _squares(rows: Array) -> Array:
    """Return sums of squared differences of every two rows; the differences are formed again in the backward pass."""
    limit = 0.25 * float(np.finfo(rows.dtype).max) ** 0.5

    @jax.checkpoint
    def of_row(row: Array) -> Array:
        t = jnp.clip(row[None] - rows, -limit, limit)  # CV-19
        return jnp.sum(t * t, axis=-1)

    return over_rows(of_row, rows)


class Positives(NamedTuple):
    """The positives of each anchor in K columns, sorted by their distance, and which anchors have more (PW-8)."""

    column: Array  # (B, K), B where there is none
    valid: Array  # (B, K)
    crowded: Array  # (B,)


def sorted_positives(
    d: Array, positive: Array, labels: Input, mask: Input | None, max_positives: int | None
) -> Positives:
    """Return the positives of each anchor, nearest first; only they are sorted, never whole rows of distances."""
    count, most = d.shape[0], _most(labels, mask, max_positives)
    anchor, column = jnp.arange(count)[:, None], jnp.broadcast_to(jnp.arange(count), (count, count))
    place = jnp.where(positive, jnp.cumsum(positive, axis=1) - 1, most)
    listed = jnp.full((count, most), count).at[anchor, place].set(column, mode="drop")
    last = float(
        np.finfo(d.dtype).max
    )  # no distance is larger, and the sort is stable: those that there are come first
    distances = jnp.where(listed < count, columns(stop_gradient(d), listed), last)
    listed = jnp.take_along_axis(listed, jnp.argsort(distances, axis=1, stable=True), axis=1)
    found = jnp.sum(positive, axis=1)
    return Positives(listed, listed < count, (found > most) & (max_positives is not None))


def _most(labels: Input, mask: Input | None, max_positives: int | None) -> int:
    """Return the number of columns that hold the positives: read from labels on the host, else the most possible."""
    count, known, part = labels.shape[0], on_host(labels), None if mask is None else on_host(mask)
    if known is not None and (mask is None or part is not None):
        most = int(np.unique(known if part is None else known[part], return_counts=True)[1].max(initial=1)) - 1
        if max_positives is not None:
            check_most_positives(most, max_positives)  # PW-8
        return max(most, 1)
    if max_positives is None:
        return count  # one more than there can be, but for a symbol of `jax.export` nothing is known but that it is 1
    return min(count, int(max_positives)) if isinstance(count, int) else int(max_positives)


def ranks(thresholds: Array, d: Array, side: str) -> Array:
    """Return how many of the sorted thresholds (B, K) are below each distance (B, B), or with "right" not above it."""
    most = thresholds.shape[1]
    steps = most.bit_length() if isinstance(most, int) else 31  # jnp.searchsorted takes no symbol of `jax.export`

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = jnp.minimum((low + high) // 2, most - 1)
        there = jnp.take_along_axis(thresholds, middle, axis=1)
        below = (low < high) & (there < d if side == "left" else there <= d)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    zero = jnp.where(d < 0, jnp.int32(0), jnp.int32(0))  # in shard_map as different on each device as what it will hold
    ends = zero, zero + jnp.int32(most)
    found: Array = jax.lax.fori_loop(0, steps, halve, ends)[0]
    return found


def columns(values: Array, index: Array) -> Array:
    """Return values (B, B) at the columns `index`, and 0 at column B."""
    return jnp.take_along_axis(jnp.pad(values, ((0, 0), (0, 1))), index, axis=1)


def spread_out(values: Array, index: Array) -> Array:
    """Return an array (B, B) with values at the columns `index`, those at column B dropped."""
    count = values.shape[0]
    return jnp.zeros((count, count), values.dtype).at[jnp.arange(count)[:, None], index].set(values, mode="drop")
