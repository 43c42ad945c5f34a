"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from lossproof.backends.jax.arrays import Input


def reduce(terms: Array, mask: Input | None, reduction: str) -> Array:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive."""
    if mask is not None:
        terms = jnp.where(mask, terms, 0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    total = jnp.sum(terms)
    if reduction == "sum":
        return total  # CV-2
    if reduction == "mean" and mask is None:
        return total / jnp.asarray(max(terms.size, 1), terms.dtype)  # CV-3, CV-5
    counted = jnp.ones(terms.shape, bool) if mask is None else jnp.asarray(mask)
    if reduction == "mean_nonzero":
        counted = counted & ~(terms <= 0)  # CV-4; NaN is counted, CV-10
    return total / jnp.maximum(jnp.sum(counted), 1).astype(terms.dtype)
