"""Arrays at the door: what the argument checks need to know of them, and the dtype of the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient
from jax.sharding import NamedSharding, PartitionSpec
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


def on_host(value: Input) -> NDArray[Any] | None:
    """Return an array that lies in the host's memory as one of numpy, and None for any other: it is not read."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, jax.core.Tracer) or not value.is_fully_addressable:
        return None
    return np.asarray(jax.device_get(value)) if all(d.platform == "cpu" for d in value.devices()) else None


def rows(mask: Input | None, *, beside: Sequence[Input] = (), **inputs: Input) -> list[Array]:
    """Check rows (..., D) and their mask; return the rows in the arithmetic's dtype, masked ones as zeros.

    `beside` are tables or logits of the same call, which may be wider: the widest dtype counts.
    """
    described = {name: describe(name, value) for name, value in inputs.items()}
    check_rows(described)  # CV-24, CV-25, CV-26
    (shape, dtype), *_ = described.values()
    for name in described:
        refuse_truncation(name, dtype)
    values: list[Input] = list(inputs.values())
    if mask is not None:
        check_mask("mask", *describe("mask", mask), shape[:-1])  # CV-29, CV-30
        # before any other operation, so that jax_debug_nans does not stop at a masked NaN
        values = [jnp.where(mask[..., None], value, 0) for value in values]  # CV-8, CV-9
    wide = "float64" in (dtype, *(str(getattr(value, "dtype", "")) for value in beside))
    arithmetic = jax.dtypes.canonicalize_dtype("float64" if wide else "float32")  # CV-17, CV-18
    return [jnp.asarray(value, arithmetic) for value in values]


def refuse_truncation(name: str, dtype: str) -> None:
    """Refuse float64 where JAX would make float32 of it without a word."""
    if dtype == "float64" and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        legal = "float16, bfloat16 or float32 unless jax_enable_x64 is on (it would be truncated)"
        raise TypeError(f"{name} must have dtype {legal}, got {dtype}")


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


def sharding_of(value: Array) -> Any:
    """Return the sharding in the type of an array, or None: JAX asks for it where a mesh has explicit axes."""
    sharding = getattr(jax.typeof(value), "sharding", None) if hasattr(jax, "typeof") else None
    return sharding if sharding is not None and any(axis is not None for axis in sharding.spec) else None


def whole(*values: Any) -> list[Any]:
    """Return arrays that every device holds whole: rows of a batch meet each other, wherever they lie."""
    found = []
    for value in values:
        sharding = sharding_of(value) if isinstance(value, Array) else None
        if sharding is not None:
            spec = PartitionSpec(*[None] * value.ndim)  # type: ignore[no-untyped-call]
            value = jax.sharding.reshard(value, NamedSharding(sharding.mesh, spec))  # type: ignore[no-untyped-call]
        found.append(value)
    return found


def rows_of(table_: Array, index: Array, like: Array) -> Array:
    """Return the rows of a table at an index for each row of `like`, and on the device where that row lies."""
    sharding = sharding_of(like) or sharding_of(table_)
    if sharding is None:
        return table_[index]
    spec = sharding.spec if sharding_of(like) else PartitionSpec()  # type: ignore[no-untyped-call]
    found: Array = table_.at[index].get(out_sharding=NamedSharding(sharding.mesh, spec))
    return found


def constants(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a pytree, its leaves without gradient.

    They are leaves, so that another margin compiles nothing; but they are settings and no parameters, and the gradient
    of a tree that holds a loss is 0 there. Who wants to train a number gives it to the function.
    """
    return {name: stop_gradient(value) if isinstance(value, Array) else value for name, value in options.items()}


def batch(
    mask: Input | None, labels: Input, *, beside: Sequence[Input] = (), **embeddings: Input
) -> tuple[Input, Array]:
    """Check one batch (B, D) with its labels and mask; return integer labels and rows in the arithmetic's dtype.

    Rows that are masked out are zeros with label 0. Labels and masks in the host's memory stay there.
    """
    ((name, value),) = embeddings.items()
    shape, dtype = describe(name, value)
    check_batch(name, shape, dtype)  # CV-34
    check_labels("labels", *describe("labels", labels), shape[0])  # CV-31
    (values,) = rows(mask, beside=beside, **embeddings)
    return identities("labels", labels, mask), values


def identities(name: str, labels: Input, mask: Input | None) -> Input:
    """Return checked labels, 0 where they are masked out; those in the host's memory stay there."""
    labels, part = at_hand(labels), None if mask is None else at_hand(mask)
    if isinstance(labels, np.ndarray) and isinstance(part, np.ndarray):
        labels, part = np.where(part, labels, labels.dtype.type(0)), None  # CV-33
    refuse_wrapping(labels, name)
    return labels if part is None else jnp.where(part, labels, 0)


def at_hand(value: Input) -> Input:
    """Return an array of the host's memory as one of numpy, which `jax.jit` cannot hide, and any other as it is."""
    host = on_host(value)
    return value if host is None else host


def refuse_wrapping(labels: Input, name: str = "labels") -> None:
    """Refuse labels on the host that JAX would truncate to 32 bits without a word (CV-32)."""
    known = on_host(labels)
    if known is not None and known.size and jax.dtypes.canonicalize_dtype(known.dtype) != known.dtype:
        held = np.iinfo(jax.dtypes.canonicalize_dtype(known.dtype))
        check_label_range(name, int(known.min()), int(known.max()), int(held.min), int(held.max))


def in_range(labels: Input, low: int, high: int) -> tuple[Array, Array]:
    """Return labels kept within [low, high], and which of them were; on the host, others are an error (CV-33)."""
    known = on_host(labels)
    if known is not None and known.size:
        check_label_range("labels", int(known.min()), int(known.max()), low, high)
    # int8 cannot hold a large `high`; what the widest integer cannot hold becomes negative, and is no index either
    y = jnp.asarray(labels).astype(jax.dtypes.canonicalize_dtype("int64"))
    return jnp.clip(y, low, high), (y >= low) & (y <= high)


def table(name: str, value: Input, like: str, rows_: Input, dtype: Any, *, empty: bool = False) -> Array:
    """Check a table (C, D) against a checked batch; return it in the dtype of the arithmetic."""
    shape, own = describe(name, value)
    check_table(name, shape, own, like, rows_.shape[-1], describe(like, rows_)[1], empty=empty)  # CV-26, CV-34
    refuse_truncation(name, own)
    return jnp.asarray(value, dtype)


def narrow(index: Input) -> Input:
    """Return indices as int32; what that cannot hold becomes what is no index either."""
    most = np.iinfo(np.int32).max
    if index.dtype.itemsize < 4:
        return index.astype(np.int32)
    host = isinstance(index, np.ndarray)
    if index.dtype.kind == "u":
        limit = index.dtype.type(most)
        kept: Input = np.minimum(index, limit) if host else jnp.minimum(index, limit)
    else:
        kept = np.clip(index, -2, most) if host else jnp.clip(index, -2, most)
    return kept.astype(np.int32)


def equal(labels: Input, others: Input) -> Array:
    """Return which labels are the same integers, (B,), (M,) -> (B, M), whatever their dtypes are: CV-32, PW-13."""
    one, other = jnp.asarray(labels), jnp.asarray(others)
    if one.dtype == other.dtype:
        return one[:, None] == other[None]
    signs, bits = one.dtype.kind + other.dtype.kind, 8 * max(one.dtype.itemsize, other.dtype.itemsize)
    wide = np.dtype(f"int{bits}" if signs == "ii" else f"uint{bits}")
    found = one.astype(wide)[:, None] == other.astype(wide)[None]
    if signs == "iu":
        found = found & (one >= 0)[:, None]
    return found & (other >= 0)[None] if signs == "ui" else found
