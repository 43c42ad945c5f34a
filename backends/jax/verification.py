"""Verification (spec/verification.md): rates and accuracy of accepted pairs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, describe, real
from lossproof.spec.arguments import check_ascending, check_distances, check_mask, check_thresholds


def verification_rates(distances: Input, same: Input, thresholds: Input) -> tuple[Array, Array]:
    """Return the validation rate and the false accept rate at each threshold.

    ``VAL(t)`` is the share of same pairs, and ``FAR(t)`` that of different pairs, with ``distance <= t``.

    Args:
        distances: of shape (N,); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        same: booleans of shape (N,); True for a pair of one identity.
        thresholds: one number, or ascending numbers of shape (T,), in the unit and dtype of the distances; values on
            a device are not read back, and there each threshold stands for itself.

    Returns:
        VAL and FAR, each of the shape of `thresholds`; NaN over no pairs, or where a distance of the kind is NaN;
        float64 for float64 distances, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Without gradient. Time O((N + T) log N), memory O(N + T). Clauses VE-1 to VE-8, VE-12.
    Source: Schroff et al. (2015), section 4.
    """
    pairs = _Pairs(distances, same)
    return pairs.rates(_thresholds(thresholds, distances))


def verification_accuracy(distances: Input, same: Input, thresholds: Input) -> Array:
    """Return the share of pairs that are judged rightly at each threshold: same accepted, different rejected.

    Arguments and errors as in `verification_rates`; NaN over no pairs, or where a distance is NaN. Clause VE-9.
    """
    pairs = _Pairs(distances, same)
    return pairs.accuracy(_thresholds(thresholds, distances))


def best_accuracy(distances: Input, same: Input) -> tuple[Array, Array]:
    """Return the greatest accuracy over all thresholds, and the lowest threshold that reaches it.

    The candidates are -inf and the distances themselves. Arguments and errors as in `verification_rates`; both are NaN
    over no pairs, or where a distance is NaN. A threshold chosen on the pairs it is judged with flatters. Clause VE-10.
    """
    pairs = _Pairs(distances, same)
    candidates = pairs.candidates()
    first = jnp.argmax(pairs.right(candidates))  # the first of those that tie
    accuracy = pairs.accuracy(candidates)[first]
    return accuracy, jnp.where(jnp.isnan(accuracy), jnp.nan, candidates[first])


def val_at_far(distances: Input, same: Input, *, far: float | Array = 1e-3) -> tuple[Array, Array]:
    """Return VAL at the largest distance whose FAR is at most `far`, and that distance: "VAL at FAR 1e-3".

    `far` is in [0, 1]; an array of shape () is used as it is. Where every distance accepts too many,
    VAL is 0 and the threshold -inf; both are NaN without same or different pairs, or where a distance is NaN.
    Other arguments and errors as in `verification_rates`. Clause VE-11.
    """
    far = real("far", far, 0, high=1)
    pairs = _Pairs(distances, same)
    candidates = pairs.candidates()
    val, rates = pairs.rates(candidates)
    last = jnp.maximum(jnp.sum(rates <= jnp.asarray(far, rates.dtype)) - 1, 0)  # FAR does not fall
    undefined = jnp.isnan(val + rates).any()
    return jnp.where(undefined, jnp.nan, val[last]), jnp.where(undefined, jnp.nan, candidates[last])


class _Pairs:
    """Pairs sorted by their distance, with how many of each kind are among the nearest k, k = 0 to N."""

    def __init__(self, distances: Input, same: Input) -> None:
        shape, dtype = describe("distances", distances)
        check_distances(shape, dtype)  # VE-7
        check_mask("same", *describe("same", same), shape)
        if dtype == "float64" and jax.dtypes.canonicalize_dtype(dtype) != dtype:
            legal = "float16, bfloat16 or float32 unless jax_enable_x64 is on (it would be truncated)"
            raise TypeError(f"distances must have dtype {legal}, got {dtype}")
        d = stop_gradient(jnp.asarray(distances, jnp.float64 if dtype == "float64" else jnp.float32))
        order = jnp.argsort(d)
        alike = jnp.stack([jnp.asarray(same), ~jnp.asarray(same)])
        self.sorted = d[order]
        self.nearest = jnp.pad(jnp.cumsum(alike[:, order], axis=1, dtype=int), ((0, 0), (1, 0)))  # VE-5: integers
        self.total = jnp.sum(alike, axis=1, dtype=int)
        self.undefined = (alike & jnp.isnan(d)).any(1)

    def accepted(self, thresholds: Array) -> Array:
        """Return the number of pairs of each kind with a distance of at most the threshold (VE-2)."""
        return self.nearest[:, jnp.searchsorted(self.sorted, thresholds, side="right")]

    def rates(self, thresholds: Array) -> tuple[Array, Array]:
        """VE-1, VE-3, VE-4."""
        shares = _quotient(self.accepted(thresholds.reshape(-1)), self.total[:, None], thresholds.dtype)
        shares = jnp.where(self.undefined[:, None], jnp.nan, shares).reshape(2, *thresholds.shape)
        val, far = jnp.where(jnp.isnan(thresholds), jnp.nan, shares)
        return val, far

    def right(self, thresholds: Array) -> Array:
        """Return how many pairs are judged rightly."""
        same, different = self.accepted(thresholds)
        right: Array = same + self.total[1] - different
        return right

    def accuracy(self, thresholds: Array) -> Array:
        """VE-9."""
        right = self.right(thresholds.reshape(-1)).reshape(thresholds.shape)
        undefined = self.undefined.any() | jnp.isnan(thresholds)
        return jnp.where(undefined, jnp.nan, _quotient(right, self.total.sum(), thresholds.dtype))

    def candidates(self) -> Array:
        """Return -inf and the distances, ascending."""
        return jnp.pad(self.sorted, (1, 0), constant_values=-jnp.inf)


def _quotient(count: Array, total: Array, dtype: Any) -> Array:
    """Return count / total, rounded once (VE-5), and NaN for 0 / 0.

    The divisor is no broadcast number, though it looks like one: XLA multiplies by the inverse of those.
    """
    return count.astype(dtype) / jnp.where(count < 0, count, total).astype(dtype)


def _thresholds(thresholds: Input, distances: Input) -> Array:
    shape, dtype = describe("thresholds", thresholds)
    check_thresholds(shape, dtype, describe("distances", distances)[1])  # VE-6
    if isinstance(thresholds, np.ndarray):
        t = thresholds.astype(np.float64)
        check_ascending(not t.ndim or bool((t[1:] >= t[:-1]).all()), bool(np.isnan(t).any()))
    return stop_gradient(jnp.asarray(thresholds, jnp.float64 if dtype == "float64" else jnp.float32))
