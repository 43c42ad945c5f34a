"""Distances of given rows, with the gradients that the spec chooses at kinks (spec/distances.md)."""

from __future__ import annotations

from math import inf

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import broadcasted_iota, stop_gradient


def row_distance(x: Array, y: Array, distance: str, p: float, eps: float | Array, eps_at: str) -> Array:
    """Return the distance of each row of x from the same row of y: (..., D), (..., D) -> (...)."""
    if distance == "cosine":
        return _cosine(x, y)
    if distance == "squared_euclidean":
        t = quarter(x, y)
        return _finite(16 * jnp.sum(t * t, axis=-1))  # DI-7, DI-12
    if distance == "euclidean":
        p, eps, eps_at = 2.0, 0.0, "difference"  # DI-9
    offset, root, floor = (eps if eps_at == at else 0.0 for at in ("difference", "root", "floor"))
    if p == 2:
        return _finite(4 * _p_norm(quarter(x, y, offset), 2.0, root / 16, floor / 16))
    largest = float(np.finfo(x.dtype).max)
    t = x - y + offset  # DI-4
    return _finite(_p_norm(jnp.clip(t, -largest, largest), float(p), root, floor))


def quarter(x: Array, y: Array, offset: float | Array = 0.0) -> Array:
    """Return a quarter of x - y + offset, which no finite numbers make infinite: CV-19."""
    t = 0.25 * x - 0.25 * y
    return t + 0.25 * offset if isinstance(offset, Array) or offset else t  # DI-4


def _p_norm(t: Array, p: float, root: float | Array, floor: float | Array) -> Array:
    """Return max(sum |t|^p + root, floor)^(1/p), with gradient 0 at or below the floor and at t = 0."""
    size = t * stop_gradient(jnp.sign(t))  # DI-14: the derivative of jnp.abs at 0 is 1
    if p == inf:
        largest = jnp.argmax(stop_gradient(size), axis=-1, keepdims=True)
        place = broadcasted_iota(largest.dtype, t.shape, t.ndim - 1)
        return jnp.sum(size, axis=-1, where=place == largest)  # DI-3, DI-16
    if p == 1:
        total = jnp.sum(size, axis=-1) + root  # DI-2
        return jnp.where(total <= floor, floor, total)  # DI-6, DI-17
    if p == 2:
        total = _finite(jnp.sum(t * t, axis=-1)) + root  # DI-1, DI-5
        low = total <= floor  # with floor 0 this is t = 0: DI-15
        return jnp.where(low, floor**0.5, jnp.sqrt(jnp.where(low, 1, total)))
    # Other exponents: in units of the largest size, which carries no gradient, nothing overflows (DI-19).
    p = min(p, 2.0**60)  # the powers beyond are the same, 0 and 1, and this p has a finite square
    unit = _nonzero(jnp.maximum(jnp.max(stop_gradient(size), axis=-1), (root + floor) ** (1 / p)))
    ratio = size / unit[..., None]
    zero = ratio < np.finfo(t.dtype).tiny  # the second derivative is 0 there (CV-14)
    powers = jnp.where(zero, 0, jnp.where(zero, 1, ratio) ** p)
    total = jnp.sum(powers, axis=-1) + (root ** (1 / p) / unit) ** p
    low = total <= (floor ** (1 / p) / unit) ** p
    return jnp.where(low, floor ** (1 / p), unit * jnp.where(low, 1, total) ** (1 / p))


def _nonzero(unit: Array) -> Array:
    """Return a unit to divide by: 1 in place of 0 and of a subnormal number, whose inverse is infinite."""
    return jnp.where(unit < np.finfo(unit.dtype).tiny, 1, unit)


def _finite(d: Array) -> Array:
    """Keep a distance so small that the difference of two is finite, without a gradient beyond (CV-19)."""
    limit = float(np.finfo(d.dtype).max) / 4
    return jnp.where(d > limit, limit, d)  # jnp.minimum has NaN there for the tangent of an infinity


def _cosine(x: Array, y: Array) -> Array:
    """Return 1 - cos; a zero row has cosine 0 and gives no gradient to either row (DI-8, DI-10, DI-18)."""
    x, y = _scaled(x), _scaled(y)
    xx, yy = jnp.sum(x * x, axis=-1), jnp.sum(y * y, axis=-1)
    zero = (xx == 0) | (yy == 0)
    u, w = (row / jnp.sqrt(jnp.where(zero, 1, square))[..., None] for row, square in ((x, xx), (y, yy)))
    cosine = jnp.sum(u * w, axis=-1)
    return 1 - jnp.where(zero, stop_gradient(cosine), cosine)


def _scaled(x: Array) -> Array:
    """Divide each row by its largest size, without gradient: the cosine is the same at every scale."""
    return x / _nonzero(jnp.max(jnp.abs(stop_gradient(x)), axis=-1, keepdims=True))
