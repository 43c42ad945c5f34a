"""The soft margin of triplets as the judge asks about it: what reaches gradients through sigma, the slope of a term."""

from __future__ import annotations

import numpy as np

from lossproof.reference.distances import RowDistance
from lossproof.reference.judged.distances import Judged, Parts
from lossproof.reference.judged.evaluation import PairError
from lossproof.reference.typing import Array


def plus(one: RowDistance, factor: Array, other: RowDistance) -> Parts:
    """Return the first distance, with `factor` times the gradients of the other added to its own."""
    first, second = (a + factor[..., None] * b for a, b in zip(one.gradients, other.gradients, strict=True))
    return Parts(one.value, (first, second))


def moved(slope: Array, error: Array) -> Array:
    """Return how far sigma moves where z is off by `error`: min(1, sigma (1 - sigma) (e^error - 1))."""
    return np.asarray(np.fmin(1.0, slope * (1 - slope) * np.expm1(error)))


def turned(pair: Judged, turn: PairError, slope: Array, step: Array, *, sign: int = 1) -> Parts:
    """Return sigma t + step (|g| + t) in the place of the gradients g, where a grade turns them by at most t."""
    t = turn(pair.value)[..., None]
    first, second = (sign * (slope[..., None] * t + step[..., None] * (np.abs(g) + t)) for g in pair.gradients)
    return Parts(pair.value, (first, second))
