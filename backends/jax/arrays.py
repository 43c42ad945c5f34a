"""Arrays at the door: what the argument checks need to know of them, and the dtype of the arithmetic."""

from __future__ import annotations

from math import inf
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from lossproof.spec.arguments import (
    check_batch,
    check_label_range,
    check_labels,
    check_mask,
    check_real,
    check_rows,
    check_scalar,
    check_table,
    refuse_type,
)

Input: TypeAlias = Array | NDArray[Any]


def describe(name: str, value: Any) -> tuple[tuple[int, ...], str]:
    """Return shape and dtype name of a JAX or numpy array, traced or not; TypeError for anything else."""
    if not isinstance(value, Array | np.ndarray):
        refuse_type(name, "be a jax.Array or numpy.ndarray", value)
    return tuple(value.shape), value.dtype.name


def rows(mask: Input | None, **inputs: Input) -> list[Array]:
    """Check rows (..., D) and their mask; return the rows in the arithmetic's dtype, masked ones as zeros."""
    described = {name: describe(name, value) for name, value in inputs.items()}
    check_rows(described)  # CV-24, CV-25, CV-26
    first, (shape, dtype) = next(iter(described.items()))
    if dtype == "float64" and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        legal = "float16, bfloat16 or float32 unless jax_enable_x64 is on (it would be truncated)"
        raise TypeError(f"{first} must have dtype {legal}, got {dtype}")
    values: list[Input] = list(inputs.values())
    if mask is not None:
        check_mask(*describe("mask", mask), shape[:-1])  # CV-29, CV-30
        # before any other operation, so that jax_debug_nans does not stop at a masked NaN
        values = [jnp.where(mask[..., None], value, 0) for value in values]  # CV-8, CV-9
    arithmetic = jnp.float64 if dtype == "float64" else jnp.float32  # CV-17, CV-18
    return [jnp.asarray(value, arithmetic) for value in values]


def real(name: str, value: float | Array, low: float, *, high: float = inf, above: bool = False) -> float | Array:
    """Check a number on the host, [low, inf) or as `check_real` says; an array of shape () is not read."""
    if isinstance(value, Array):
        check_scalar(name, value.shape)
        return value
    check_real(name, value, low, high=high, above=above)  # CV-28
    return float(value)


def in_dtype(value: float | Array, dtype: Any) -> float | Array:
    """Return a checked number that promotes nothing: an array in `dtype`, a host number in its range."""
    if isinstance(value, Array):
        return value.astype(dtype)
    return min(value, float(np.finfo(dtype).max))


def batch(mask: Input | None, labels: Input, **embeddings: Input) -> tuple[Input, Array]:
    """Check one batch (B, D) with its labels and mask; return integer labels and rows in the arithmetic's dtype.

    Rows that are masked out are zeros with label 0. Labels in a numpy array stay on the host.
    """
    ((name, value),) = embeddings.items()
    shape, dtype = describe(name, value)
    check_batch(name, shape, dtype)  # CV-34
    check_labels("labels", *describe("labels", labels), shape[0])  # CV-31
    (values,) = rows(mask, **embeddings)
    if isinstance(labels, np.ndarray) and labels.size and jax.dtypes.canonicalize_dtype("int64") != "int64":
        int32 = np.iinfo(np.int32)  # labels are compared as integers, never truncated (CV-32)
        check_label_range("labels", int(labels.min()), int(labels.max()), int(int32.min), int(int32.max))
    if mask is None:
        return labels, values
    both_on_host = isinstance(labels, np.ndarray) and isinstance(mask, np.ndarray)
    return (np if both_on_host else jnp).where(mask, labels, 0), values  # CV-33


def in_range(labels: Input, low: int, high: int) -> tuple[Array, Array]:
    """Return labels kept within [low, high], and which of them were; on the host, others are an error (CV-33)."""
    if isinstance(labels, np.ndarray) and labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), low, high)
    labels = jnp.asarray(labels).astype(jax.dtypes.canonicalize_dtype("int64"))  # int8 cannot hold a large `high`
    return jnp.clip(labels, low, high), (labels >= low) & (labels <= high)


def table(name: str, value: Input, like: str, rows_: Input, *, empty: bool = False) -> Array:
    """Check a table (C, D) against a checked batch; return it in the dtype of the arithmetic."""
    shape, dtype = describe(name, value)
    check_table(name, shape, dtype, like, rows_.shape[-1], describe(like, rows_)[1], empty=empty)  # CV-26, CV-34
    return jnp.asarray(value, jnp.float64 if dtype == "float64" else jnp.float32)
