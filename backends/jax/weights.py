"""Weights of units: checked, constant, and NaN where they are no weights (spec/conventions.md)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient
from numpy.typing import NDArray

from lossproof.backends.jax.arrays import Input, at_hand, describe
from lossproof.backends.jax.distributed import Devices, over
from lossproof.spec.arguments import check_class_weights, check_mask, check_weight_range, check_weights


def unit_weights(weights: Input | None, mask: Input | None, **rows: Input) -> Input | None:
    """Return weights, one a unit of rows (..., D), 0 where the mask says so; None without any.

    A number that is no weight is an error on the host; elsewhere it becomes NaN. Weights in the host's memory stay
    there.
    """
    if weights is None:
        return None
    ((name, value),) = rows.items()
    shape, dtype = describe(name, value)
    check_weights("weights", *describe("weights", weights), shape[:-1], name, dtype)  # CV-45
    if mask is not None:
        check_mask("mask", *describe("mask", mask), shape[:-1])  # CV-29, CV-30
    own, part = at_hand(weights), None if mask is None else at_hand(mask)
    if isinstance(own, np.ndarray):
        own = own.astype(np.float64)  # numpy does not know what to make of bfloat16 and a number
        if part is None or isinstance(part, np.ndarray):
            own = own if part is None else np.where(part, own, 0)
            if own.size:
                check_weight_range("weights", float(own.min()), float(own.max()))  # CV-46
            return own
    own = stop_gradient(jnp.asarray(own))  # CV-44
    if part is not None:
        own = jnp.where(part, own, 0)
    return jnp.where((own >= 0) & jnp.isfinite(own), own, jnp.nan)


def weights_of_classes(class_weights: Input | None, dtype: Any, **rows: Input) -> Array | None:
    """Return weights (K,) of the classes of logits (B, K) in the dtype of the arithmetic; None without any.

    A number that is no weight is an error on the host; elsewhere it makes all of them NaN.
    """
    if class_weights is None:
        return None
    ((name, value),) = rows.items()
    shape, own = describe(name, value)
    check_class_weights("class_weights", *describe("class_weights", class_weights), shape[-1], name, own)  # CE-17
    known = at_hand(class_weights)
    if isinstance(known, np.ndarray):
        known = known.astype(np.float64)  # numpy does not know what to make of bfloat16 and a number
        check_weight_range("class_weights", float(known.min()), float(known.max()))  # CE-18, ST-22
        return jnp.asarray(in_arithmetic(known, dtype))
    c = stop_gradient(jnp.asarray(class_weights))  # CE-15, ST-19
    return jnp.where(jnp.all((c >= 0) & jnp.isfinite(c)), in_arithmetic(c, dtype), jnp.nan)


def no_rows(class_weights: Any) -> NDArray[np.float32]:
    """Return logits (0, K) for class weights (K,), to see whether options are legal."""
    shape = getattr(class_weights, "shape", ())
    return np.zeros((0, max(*shape[:1], 1, 1)), np.float32)


def of_class(class_weights: Array, costs: Array) -> Array:
    """Return class weights times costs: 0 for a weight of 0, also where a class cannot be (CE-16), but not for NaN."""
    largest = float(np.finfo(costs.dtype).max)  # no infinity is written down, at which jax_debug_infs would stop: CV-36
    return class_weights * jnp.where((class_weights == 0) & (costs > largest), 0, costs)


def weighing(mask: Input | None, weights: Input | None) -> Input | None:
    """Return the mask of the units that weigh something, where each has rows of its own: CV-41, CV-42."""
    return mask if weights is None else weights != 0


def in_arithmetic(weights: Input, dtype: Any) -> Input:
    """Return weights in the dtype of the arithmetic, cut off where no sum of them overflows (CV-19)."""
    limit = 2.0**-2 * float(np.finfo(dtype).max) ** 0.5
    there = isinstance(weights, np.ndarray)
    found: Input = np.minimum(weights, limit).astype(dtype) if there else jnp.minimum(weights.astype(dtype), limit)
    return found


def total_weight(weights: Input, devices: Devices | None = None) -> Array:
    """Return the sum of weights, by which a mean divides; 1 where it is 0 (CV-43), and NaN adds nothing (CV-46)."""
    total = over(devices, jnp.sum(jnp.where(jnp.isnan(weights), 0, weights)))
    return jnp.where(total < float(np.finfo(total.dtype).tiny), 1, total)  # a subnormal sum has an infinite inverse
