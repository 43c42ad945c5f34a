"""Verification (spec/verification.md): rates and accuracy of accepted pairs, in float64 numpy, by counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.inputs import described
from lossproof.reference.typing import Array, Value
from lossproof.spec.arguments import check_ascending, check_distances, check_mask, check_real, check_thresholds

Number: TypeAlias = float | np.floating[Any]
Numbers: TypeAlias = Sequence[float] | Array


@overload
def verification_rates(distances: ArrayLike, same: ArrayLike, thresholds: Number) -> tuple[np.float64, np.float64]: ...
@overload
def verification_rates(distances: ArrayLike, same: ArrayLike, thresholds: Numbers) -> tuple[Array, Array]: ...
def verification_rates(distances: ArrayLike, same: ArrayLike, thresholds: Number | Numbers) -> tuple[Value, Value]:
    """Return the validation rate and the false accept rate at each threshold.

    ``VAL(t)`` is the share of same pairs, and ``FAR(t)`` that of different pairs, with ``distance <= t``.

    Args:
        distances: of shape (N,), any float dtype.
        same: booleans of shape (N,); True for a pair of one identity.
        thresholds: one number, or ascending numbers of shape (T,), in the unit and dtype of the distances.

    Returns:
        VAL and FAR, each of the shape of `thresholds`; NaN over no pairs, or where a distance is NaN.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses VE-1 to VE-8. Source: Schroff et al. (2015), section 4.
    """
    d, alike = _pairs(distances, same)
    t = _thresholds(thresholds, distances)
    return _share(d[alike], t), _share(d[~alike], t)


@overload
def verification_accuracy(distances: ArrayLike, same: ArrayLike, thresholds: Number) -> np.float64: ...
@overload
def verification_accuracy(distances: ArrayLike, same: ArrayLike, thresholds: Numbers) -> Array: ...
def verification_accuracy(distances: ArrayLike, same: ArrayLike, thresholds: Number | Numbers) -> Value:
    """Return the share of pairs that are judged rightly at each threshold (VE-9); arguments as `verification_rates`."""
    d, alike = _pairs(distances, same)
    t = _thresholds(thresholds, distances)
    return _accuracy(d, alike, t)


def best_accuracy(distances: ArrayLike, same: ArrayLike) -> tuple[np.float64, np.float64]:
    """Return the greatest accuracy over all thresholds, and the lowest threshold that reaches it (VE-10).

    The candidates are -inf and the distances; arguments as `verification_rates`.
    """
    d, alike = _pairs(distances, same)
    if not len(d) or np.isnan(d).any():
        return np.float64(np.nan), np.float64(np.nan)
    candidates = np.sort(np.append(d, -np.inf))
    accuracy = np.asarray(_accuracy(d, alike, candidates))
    best = np.argmax(accuracy)
    return accuracy[best], candidates[best]


def val_at_far(distances: ArrayLike, same: ArrayLike, *, far: float = 1e-3) -> tuple[np.float64, np.float64]:
    """Return VAL at the largest distance whose FAR is at most `far`, in [0, 1], and that distance (VE-11)."""
    d, alike = _pairs(distances, same)
    check_real("far", far, 0, high=1)
    if np.isnan(d).any() or alike.all() or not alike.any():
        return np.float64(np.nan), np.float64(np.nan)
    candidates = np.sort(np.append(d, -np.inf))
    threshold = candidates[np.asarray(_share(d[~alike], candidates)) <= far][-1]
    return np.float64(_share(d[alike], threshold)), threshold


def _pairs(distances: ArrayLike, same: ArrayLike) -> tuple[Array, Array]:
    (shape, dtype), (of_same, dtype_of_same) = described(distances=distances, same=same).values()
    check_distances(shape, dtype)  # VE-7
    check_mask("same", of_same, dtype_of_same, shape)
    return np.asarray(distances, np.float64), np.asarray(same)


def _thresholds(thresholds: ArrayLike, distances: ArrayLike) -> Array:
    (shape, dtype), (_, of_distances) = described(thresholds=thresholds, distances=distances).values()
    check_thresholds(shape, dtype, of_distances)  # VE-6
    t = np.asarray(thresholds, np.float64)
    check_ascending(bool(np.all(t[1:] >= t[:-1])) if t.ndim else True, bool(np.isnan(t).any()))
    return t


def _share(d: Array, thresholds: Array) -> Value:
    """Return the share of distances that are at most each threshold (VE-1, VE-2)."""
    if not len(d) or np.isnan(d).any():  # VE-3, VE-4
        return np.full(np.shape(thresholds), np.nan)[()]
    accepted: Value = np.count_nonzero(d <= np.asarray(thresholds)[..., None], axis=-1) / len(d)  # VE-5
    return accepted


def _accuracy(d: Array, alike: Array, thresholds: Array) -> Value:
    if not len(d) or np.isnan(d).any():
        return np.full(np.shape(thresholds), np.nan)[()]
    right: Value = np.count_nonzero((d <= np.asarray(thresholds)[..., None]) == alike, axis=-1) / len(d)
    return right
