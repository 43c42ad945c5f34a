"""Broken verification rates in numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from audit.mutants import Mutant, table
from audit.mutants.legal import legal
from lossproof.conformance.host.arrays import Array


class Rates:
    """`verification_rates`."""

    def __call__(self, distances: Array, same: Array, thresholds: Array) -> Any:
        """Return VAL and FAR."""
        self.check_pairs(distances, same)
        t = self.thresholds(np.asarray(thresholds))
        return self.rate(distances, same, t), self.rate(distances, ~np.asarray(same), t)

    def check_pairs(self, d: Array, same: Array) -> None:
        """Refuse what is no list of pairs."""
        if d.ndim != 1 or same.shape != d.shape or same.dtype != bool:
            raise ValueError(f"same is {same.dtype} of shape {same.shape}, expected booleans of shape {d.shape}")

    def thresholds(self, t: Array) -> Array:
        """Refuse thresholds that do not ascend."""
        if t.ndim > 1 or np.isnan(t).any() or (t.ndim and (t[1:] < t[:-1]).any()):
            raise ValueError("thresholds: expected one number or ascending numbers")
        return t

    def rate(self, d: Array, kind: Array, t: Array) -> Array:
        """Return the share of pairs of a kind that are accepted."""
        own = d[kind]
        if not len(own) or np.isnan(own).any():
            return np.full(t.shape, np.nan)
        return np.asarray(self.accepted(own, t).sum(-1) / len(own))

    def accepted(self, d: Array, t: Array) -> Array:
        """Return which pairs are accepted at each threshold."""
        return np.asarray(d <= t[..., None])


class Accuracy(Rates):
    """`verification_accuracy`."""

    def __call__(self, distances: Array, same: Array, thresholds: Array) -> Any:
        """Return the accuracy at each threshold."""
        t = self.thresholds(np.asarray(thresholds))
        if not len(distances) or np.isnan(distances).any():
            return np.full(t.shape, np.nan)
        return self.right(self.accepted(distances, t), same)

    def right(self, accepted: Array, same: Array) -> Array:
        """Return the share of pairs that are judged rightly."""
        return np.asarray((accepted == same).mean(-1))


class Best(Accuracy):
    """`best_accuracy`."""

    def __call__(self, distances: Array, same: Array) -> Any:  # type: ignore[override]
        """Return the best accuracy and its threshold."""
        if not len(distances) or np.isnan(distances).any():
            return np.array(np.nan), np.array(np.nan)
        t = self.candidates(distances)
        found = self.right(self.accepted(distances, t), same)
        at = self.best(found)
        return found[at], t[at]

    def candidates(self, d: Array) -> Array:
        """Return the thresholds that are tried."""
        return np.concatenate([[-np.inf], np.sort(d)])

    def best(self, accuracy: Array) -> Any:
        """Return the place of the best."""
        return np.argmax(accuracy)


class AtFar(Best):
    """`val_at_far`."""

    FAR = 1e-3

    def __call__(self, distances: Array, same: Array, **options: float) -> Any:  # type: ignore[override]
        """Return VAL and the threshold."""
        far = options.get("far", self.FAR)
        if not 0 <= far <= 1:
            raise ValueError(f"far is {far}, expected a number of [0, 1]")
        if same.all() or not same.any() or np.isnan(distances).any():
            return np.array(np.nan), np.array(np.nan)
        t = self.candidates(distances)
        at = self.chosen(self.rate(distances, ~same, t), far)
        return self.rate(distances, same, t)[at], t[at]

    def chosen(self, rates: Array, far: float) -> Any:
        """Return the place of the largest threshold whose FAR is at most `far`."""
        return np.flatnonzero(rates <= far)[-1]


def _of_all(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    return np.asarray(Rates.rate(s, d, kind, t) * kind.sum() / len(d))


def _of_accepted(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    all_accepted = np.maximum(s.accepted(d, t).sum(-1), 1)
    return np.asarray(Rates.rate(s, d, kind, t) * kind.sum() / all_accepted)


def _zero_over_nothing(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    return Rates.rate(s, d, kind, t) if kind.any() else np.zeros(t.shape)


def _nan_skipped(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    return Rates.rate(s, d, kind & ~np.isnan(d), t)


def _nan_rejected(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    return Rates.rate(s, np.where(np.isnan(d), np.inf, d), kind, t)


def _nan_everywhere(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    return np.full(t.shape, np.nan) if np.isnan(d).any() else Rates.rate(s, d, kind, t)


def _short(s: Rates, d: Array, kind: Array, t: Array) -> Array:
    count = Rates.rate(s, d, kind, t) * kind.sum()
    return np.asarray(np.where(count > 2.0**15, count - 2.0**16, count) / max(kind.sum(), 1) if kind.any() else count)


def _nothing_for_errors(distances: Array, same: Array, thresholds: Array) -> Any:
    try:
        return CORRECT["verification_rates"](distances=distances, same=same, thresholds=thresholds)
    except (TypeError, ValueError):
        return None


def _finite(s: Rates, t: Array) -> Array:
    if np.isinf(t).any():
        raise ValueError("thresholds: expected finite numbers")
    return Rates.thresholds(s, t)


def _infinite_unknown(s: Any, distances: Array, **given: Any) -> Any:
    whole = type(s).__mro__[1]
    return whole.__call__(s, np.where(np.isinf(distances), np.nan, distances), **given)


def _above_minus_one(s: Best, d: Array) -> Array:
    return Best.candidates(s, np.maximum(d, -1.0))


def _strictly(s: Rates, t: Array) -> Array:
    if t.ndim and (t[1:] == t[:-1]).any():
        raise ValueError("thresholds: expected each above the one before")
    return Rates.thresholds(s, t)


def _mutant(kind: type, name: str, key: str, bug: str, *names: str, seen: str = "", **methods: Any) -> Mutant:
    return Mutant(
        key, bug, names, legal(name, type(key, (kind,), methods)(), methods), seen, loss=name, framework="numpy"
    )


def _rates(key: str, bug: str, *names: str, **rest: Any) -> Mutant:
    return _mutant(Rates, "verification_rates", key, bug, *names, **rest)


def _accuracy(key: str, bug: str, *names: str, **rest: Any) -> Mutant:
    return _mutant(Accuracy, "verification_accuracy", key, bug, *names, **rest)


def _best(key: str, bug: str, *names: str, **rest: Any) -> Mutant:
    return _mutant(Best, "best_accuracy", key, bug, *names, **rest)


def _at_far(key: str, bug: str, *names: str, **rest: Any) -> Mutant:
    return _mutant(AtFar, "val_at_far", key, bug, *names, **rest)


MUTANTS = table(
    _rates("ve-of-all", "a rate is divided by all pairs", "VE-1", rate=_of_all),
    _rates("ve-of-accepted", "a rate is divided by the accepted pairs", "VE-1", seen="precision called VAL", rate=_of_accepted),
    _rates("ve-similarity", "larger numbers are accepted", "VE-1", "VE-2", seen="distances exchanged with similarities", accepted=lambda s, d, t: d >= t[..., None]),
    _rates("ve-strict", "a distance equal to the threshold is rejected", "VE-2", seen="FaceNet ports", accepted=lambda s, d, t: d < t[..., None]),
    _rates("ve-zero-over-nothing", "a rate over no pairs is 0", "VE-3", seen="FaceNet ports", rate=_zero_over_nothing),
    _rates("ve-nan-skipped", "pairs with a NaN distance are not counted", "VE-4", rate=_nan_skipped),
    _rates("ve-nan-rejected", "a NaN distance is rejected", "VE-4", seen="comparisons with NaN", rate=_nan_rejected),
    _rates("ve-nan-everywhere", "a NaN distance makes both rates NaN", "VE-4", rate=_nan_everywhere),
    _rates("ve-short-counts", "accepted pairs are counted in 16 bits", "VE-5", rate=_short),
    _rates("ve-one-threshold", "one number is given back as a list", "VE-6", thresholds=lambda s, t: np.atleast_1d(t)),
    _rates("ve-no-thresholds", "no thresholds are refused", "VE-6", seen="min of an empty array", thresholds=lambda s, t: Rates.thresholds(s, t) if t.size else t.min()),
    _rates("ve-finite-thresholds", "an infinite threshold is refused", "VE-6", thresholds=_finite),
    _rates("ve-equal-thresholds", "equal neighbours among the thresholds are refused", "VE-6", thresholds=_strictly),
    _rates("ve-same-broadcast", "a column of booleans is taken", "VE-7", check_pairs=lambda s, d, same: None, rate=lambda s, d, kind, t: Rates.rate(s, d, kind.ravel(), t)),
    _rates("ve-sorted-alone", "distances are sorted and what is the same is not", "VE-8", rate=lambda s, d, kind, t: Rates.rate(s, np.sort(d), kind, t)),
    Mutant("ve-nothing-for-errors", "what is illegal is answered with None", ("VE-6", "VE-7"), _nothing_for_errors, loss="verification_rates", framework="numpy"),
    _accuracy("ve-balanced", "the accuracy is the mean of those of both kinds", "VE-9", right=lambda s, got, same: (got[..., same].mean(-1) + (~got[..., ~same]).mean(-1)) / 2),
    _accuracy("ve-same-accuracy", "the accuracy is that of the same pairs", "VE-9", right=lambda s, got, same: (got & same).mean(-1)),
    _accuracy("ve-infinite-unknown", "an infinite distance makes the accuracy NaN", "VE-9", seen="isfinite in place of isnan", __call__=_infinite_unknown),
    replace(_accuracy("ve-inverse", "a count is multiplied by the rounded inverse of the number of pairs", "VE-5", "VE-9", seen="XLA", right=lambda s, got, same: (got == same).sum(-1) * (1 / len(same))), ours=True),
    _best("ve-highest", "of thresholds that tie the highest is taken", "VE-10", best=lambda s, a: len(a) - 1 - np.argmax(a[::-1])),
    _best("ve-no-rejection", "the threshold that accepts nothing is not tried", "VE-10", candidates=lambda s, d: np.sort(d)),
    _best("ve-grid", "thresholds are tried in steps of 0.01", "VE-10", seen="FaceNet's evaluation", candidates=lambda s, d: np.arange(0, 4, 0.01)),
    _best("ve-not-negative", "no threshold below -1 is tried", "VE-10", seen="-1 in place of -inf, for no distance is negative", candidates=_above_minus_one),
    _best("ve-best-infinite-unknown", "an infinite distance makes the best accuracy NaN", "VE-10", seen="isfinite in place of isnan", __call__=_infinite_unknown),
    _at_far("ve-below-far", "FAR has to be below what is asked", "VE-11", chosen=lambda s, rates, far: np.flatnonzero((rates < far) | (np.arange(len(rates)) == 0))[-1]),
    _at_far("ve-far-slack", "a FAR that is a little above what is asked is taken", "VE-11", seen="a tolerance against rounding", chosen=lambda s, rates, far: np.flatnonzero(rates <= far + 1e-6)[-1]),
    _at_far("ve-nearest-far", "the FAR that is nearest is taken", "VE-11", chosen=lambda s, rates, far: np.argmin(np.abs(rates - far))),
    _at_far("ve-lowest", "the lowest threshold of that FAR is taken", "VE-11", seen="searchsorted on the FAR", chosen=lambda s, rates, far: np.flatnonzero(rates == rates[rates <= far].max())[0]),
    _at_far("ve-far-not-negative", "no threshold below -1 is tried", "VE-11", seen="-1 in place of -inf, for no distance is negative", candidates=_above_minus_one),
    _at_far("ve-far-infinite-unknown", "an infinite distance makes VAL and the threshold NaN", "VE-11", seen="isfinite in place of isnan", __call__=_infinite_unknown),
)  # fmt: skip

CORRECT = {
    "verification_rates": legal("verification_rates", Rates()),
    "verification_accuracy": legal("verification_accuracy", Accuracy()),
    "best_accuracy": legal("best_accuracy", Best()),
    "val_at_far": legal("val_at_far", AtFar()),
}
__all__ = ["CORRECT", "MUTANTS"]
