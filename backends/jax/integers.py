"""Integers of any dtype: labels of two dtypes, and indices (spec/pairwise.md, PW-13 and PW-14)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input


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
