"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input
from lossproof.backends.jax.distributed import Devices, over
from lossproof.backends.jax.weights import in_arithmetic, total_weight


def reduce(
    terms: Array,
    mask: Input | None,
    reduction: str,
    weights: Input | None = None,
    counted_as: Array | None = None,
    devices: Devices | None = None,
) -> Array:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive.

    `weights` multiply the terms, and a mean divides by those of the terms that it counts. `counted_as` are what each
    term counts for in a mean besides. Of a batch over devices it is the share of this one: DD-3.
    """
    if counted_as is not None and reduction == "mean":
        return _over(reduce(terms, mask, "sum", weights), mask, weights, counted_as, devices)
    if weights is not None:
        return _weighed(terms, mask, reduction, in_arithmetic(weights, terms.dtype), devices)
    if mask is not None:
        terms = jnp.where(mask, terms, 0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    total = jnp.sum(terms)
    if reduction == "sum":
        return total  # CV-2
    if reduction == "mean" and mask is None:
        world = 1 if devices is None else devices.world  # each has as many rows
        return total / jnp.asarray(max(world * terms.size, 1), terms.dtype)  # CV-3, CV-5
    counted = jnp.ones(terms.shape, bool) if mask is None else jnp.asarray(mask)
    if reduction == "mean_nonzero":
        counted = counted & ~(terms <= 0)  # CV-4; NaN is counted, CV-10
    return total / number(devices, counted, terms.dtype)


def number(devices: Devices | None, counted: Array, dtype: Any) -> Array:
    """Return how many are counted, or 1 for none, on all devices; as floats, which add up without end: DD-13."""
    found = jnp.sum(counted)
    if devices is None:
        return jnp.maximum(found, 1).astype(dtype)
    return jnp.maximum(devices.total(found.astype(dtype)), 1)


def softened(slack: Array, reduction: str) -> tuple[Array, str]:
    """Return the terms log(1 + exp(slack)) of a soft margin, and the reduction of terms that are all positive."""
    return _softplus(slack), "mean" if reduction == "mean_nonzero" else reduction


@jax.custom_jvp
def _softplus(x: Array) -> Array:
    """Return log(1 + exp(x)); the derivative that JAX has for it is off by |x| roundings."""
    return jnp.logaddexp(x, 0)


@_softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return _softplus(x), jax.nn.sigmoid(x) * tangent


def _over(total: Array, mask: Input | None, weights: Input | None, counted_as: Array, devices: Devices | None) -> Array:
    """Return a sum over what its terms count for; where that is 0, it is 0, but NaN stays NaN: CE-14."""
    if weights is not None:
        counted_as = counted_as * in_arithmetic(weights, counted_as.dtype)
    if mask is not None:
        counted_as = jnp.where(mask, counted_as, 0)
    divisor = over(devices, jnp.sum(jnp.where(jnp.isnan(counted_as), 0, counted_as)))
    nothing = divisor < float(np.finfo(divisor.dtype).tiny)
    return jnp.where(nothing & ~jnp.isnan(total), 0, total / jnp.where(nothing, 1, divisor))


def _weighed(terms: Array, mask: Input | None, reduction: str, weights: Input, devices: Devices | None) -> Array:
    """Return the reduction of weighed terms; nothing is left of a term of weight 0 (CV-41, CV-42)."""
    w = jnp.broadcast_to(weights, terms.shape)
    if mask is not None:
        w = jnp.where(mask, w, 0)
    unknown = jnp.isnan(w)
    known = jnp.where(unknown, 0, w)
    products = known * jnp.where(known == 0, 0, terms)  # CV-39
    products = jnp.where(unknown, jnp.nan, products)  # CV-46; no gradient is NaN
    if reduction == "none":
        return products
    if reduction == "mean_nonzero":
        known = jnp.where(terms <= 0, 0, known)
    total = jnp.sum(products)
    return total if reduction == "sum" else total / total_weight(known, devices)  # CV-40
