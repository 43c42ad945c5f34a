"""The numbers that a function works with: least squares from a few starts, by Levenberg and Marquardt.

Every residual is in units of the rounding of what came back, so that a candidate fits where its worst one is small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.identify.candidate import Candidate
from lossproof.conformance.identify.formulas import Batch

POSITIVE = ("eps", "scale", "gamma", "temperature", "times", "floor", "power")  # found by their logarithms
SMALL = ("eps", "floor")  # which a distance is as good as linear in, and hardly moved by
LINEAR = ("times", "factor")  # what all else is multiplied by: found at once, and a candidate has one at most
MOST = 4  # starts that are followed, those with the smallest error
Asked = Sequence[tuple[Batch, Array]]  # calls, and what came back


@dataclass(frozen=True)
class Fit:
    """Numbers, and the worst error with them relative to the size of what came back."""

    numbers: Mapping[str, float]
    error: float


def residuals(candidate: Candidate, numbers: Mapping[str, float], asked: Asked) -> Array:
    """Return the errors of all entries, each relative to the largest entry of its call, or to 1."""
    found = []
    with np.errstate(all="ignore"):
        for inputs, got in asked:
            try:
                want = candidate.value(inputs, numbers)
            except (ValueError, TypeError):
                return np.full(1, np.inf)
            if want.shape != got.shape:
                return np.full(1, np.inf)
            largest = max(1.0, float(np.max(np.abs(got), initial=0.0)))
            found.append(np.ravel((want - got) / largest))
    flat = np.concatenate(found)
    return np.where(np.isfinite(flat), flat, np.inf)


def worst(errors: Array) -> float:
    """Return the largest size of an error."""
    return float(np.max(np.abs(errors), initial=0.0))


def solve(candidate: Candidate, starts: Mapping[str, Sequence[float]], asked: Asked, steps: int, enough: float) -> Fit:
    """Return the best fit from every combination of starts; an error of at most `enough` ends the search."""
    best = Fit({}, np.inf)
    every = [dict(zip(starts, values, strict=True)) for values in product(*starts.values())]
    scaled = [_scaled(candidate, numbers, asked) for numbers in every]
    for numbers in sorted(scaled, key=lambda own: worst(residuals(candidate, own, asked)))[:MOST]:
        fit = _descend(candidate, numbers, asked, steps)
        if fit.error < best.error:
            best = fit
        if best.error <= enough:
            break
    return best


def _scaled(candidate: Candidate, numbers: dict[str, float], asked: Asked) -> dict[str, float]:
    """Return the numbers with the factor of all that is best with the others as they are."""
    name = next((n for n in LINEAR if n in numbers), "")
    if not name:
        return numbers
    nothing, once = (residuals(candidate, {**numbers, name: value}, asked) for value in (0.0, 1.0))
    if nothing.shape != once.shape or not np.all(np.isfinite(nothing) & np.isfinite(once)):
        return numbers
    slope = once - nothing
    best = float(-nothing @ slope) / max(float(slope @ slope), 1e-300)
    return {**numbers, name: best} if best > 0 else numbers


def _descend(candidate: Candidate, numbers: dict[str, float], asked: Asked, steps: int) -> Fit:
    names = [name for name in numbers if name not in LINEAR]
    errors, damping = residuals(candidate, numbers, asked), 1e-3
    for _ in range(steps if names and np.all(np.isfinite(errors)) else 0):
        slopes = np.stack([_slope(candidate, numbers, name, errors, asked) for name in names], axis=1)
        if not np.all(np.isfinite(slopes)):
            break
        size = np.linalg.norm(slopes, axis=0)  # a number that hardly shows is not lost beside one that does
        slopes = slopes / np.where(size > 0, size, 1)
        step = np.linalg.lstsq(slopes.T @ slopes + damping * np.diag(size > 0), -slopes.T @ errors, rcond=None)[0]
        step = step / np.where(size > 0, size, 1)
        by = dict(zip(names, map(float, step), strict=True))
        moved = {name: _moved(candidate, name, v, by[name]) if name in by else v for name, v in numbers.items()}
        tried = _scaled(candidate, moved, asked)
        next_errors = residuals(candidate, tried, asked)
        if np.all(np.isfinite(next_errors)) and next_errors @ next_errors < errors @ errors:
            gained = 1 - (next_errors @ next_errors) / (errors @ errors)
            small = gained < 1e-3 or worst(next_errors) < 1e-16
            numbers, errors, damping = tried, next_errors, damping * 0.1
            if small:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return Fit(numbers, worst(errors))


def _moved(candidate: Candidate, name: str, value: float, by: float) -> float:
    """Return a number moved by a step, and no farther than the page allows."""
    low, high = candidate.bounds(name)
    moved = float(value * np.exp(np.clip(by, -3.0, 3.0))) if name in POSITIVE else value + by
    return min(max(moved, low), high)


def _slope(candidate: Candidate, numbers: Mapping[str, float], name: str, errors: Array, asked: Asked) -> Array:
    size = 1 if name in POSITIVE else max(abs(numbers[name]), 1e-2)
    width = _inward(candidate, name, numbers[name], _share(name) * size)
    moved = _scaled(candidate, {**numbers, name: _moved(candidate, name, numbers[name], width)}, asked)
    return (residuals(candidate, moved, asked) - errors) / width


def _share(name: str) -> float:
    """Return the share of a number by which it is moved to see a slope."""
    return 1e-3 if name in SMALL else 1e-7


def _inward(candidate: Candidate, name: str, value: float, width: float) -> float:
    """Return a step of a width, backwards at the upper end of what the page allows."""
    return -width if value + width > candidate.bounds(name)[1] else width


def interval(candidate: Candidate, fit: Fit, name: str, asked: Asked, allowed: float) -> tuple[float, float]:
    """Return the range of one number, with the others held, in which no error is beyond what is allowed."""
    value, errors = fit.numbers[name], residuals(candidate, fit.numbers, asked)
    width = _inward(candidate, name, value, _share(name) * max(abs(value), 1e-9))
    slopes = (residuals(candidate, {**fit.numbers, name: value + width}, asked) - errors) / width
    steep = np.abs(slopes) > 0
    if not steep.any():
        return 0.0, np.inf
    room = np.maximum(allowed - np.abs(errors[steep]), 0) / np.abs(slopes[steep])
    (low, high), either_side = candidate.bounds(name), float(np.min(room))
    return max(value - either_side, low), min(value + either_side, high)


def shortest(low: float, high: float, value: float) -> float:
    """Return the decimal with the fewest digits in a range, or the inverse of one where that is shorter.

    That is 0 where the range has it; the value itself is returned where nothing is shorter.
    """
    if low <= 0 <= high:
        return 0.0
    for digits in range(1, 17):
        short = float(f"{value:.{digits}g}")
        if low <= short <= high:
            return short
        inverse = 1 / float(f"{1 / value:.{digits}g}") if value else 0.0
        if 1 < digits < 5 and low <= inverse <= high:
            return inverse
    return value
