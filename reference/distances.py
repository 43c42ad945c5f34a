"""Row distances: value and gradient (spec/distances.md).

Rows stand in arrays of shape (..., D); everything is computed row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from lossproof.reference.typing import Array

Pair: TypeAlias = tuple[Array, Array]


class RowDistance(Protocol):
    """The distance of each row of x from the same row of y."""

    @property
    def value(self) -> Array:
        """The distances, (...)."""

    @property
    def gradients(self) -> Pair:
        """Their gradients with respect to x and y, (..., D) each."""


Metric: TypeAlias = Callable[[Array, Array], RowDistance]


@dataclass(frozen=True)
class PNorm:
    """The p-norm of t = x - y + shift, raised to a floor where there is one."""

    difference: Array  # (..., D), x - y
    shift: float
    p: float
    norm: Array  # (...)
    floor: Array | None  # (...)
    above: Array  # (...), where the norm is above its kink
    sign: Array  # (..., D), of t
    largest: Array  # (...), the coordinate that is the norm where p is inf

    @property
    def value(self) -> Array:
        """The distances, (...)."""
        return self.norm if self.floor is None else np.maximum(self.norm, self.floor)  # DI-6

    @property
    def ratio(self) -> Array:
        """The shares |t_k| / d, 0 for the whole row where a kink makes its derivative 0."""
        shares = over(np.abs(self.difference + self.shift), self.value)
        return np.where(self.above[..., None], shares, 0)

    @property
    def gradients(self) -> Pair:
        """Their gradients with respect to x and y, (..., D) each."""
        if self.p == np.inf:
            gradient = self.sign * (np.arange(self.sign.shape[-1]) == self.largest[..., None])  # DI-16
        else:
            gradient = self.sign * self.ratio ** (self.p - 1)  # DI-11
        gradient = np.where((self.above | np.isnan(self.value))[..., None], gradient, 0)  # DI-15, DI-17
        return gradient, -gradient


def p_norm(x: Array, y: Array, p: float, eps: float, eps_at: str) -> PNorm:
    """Return the p-norm of the difference, with `eps` placed as `eps_at` says."""
    difference, shift = x - y, eps if eps_at == "difference" else 0.0
    t = difference + shift  # DI-4
    d = norm(np.abs(t), p, eps if eps_at == "root" else 0.0)  # DI-1, DI-2, DI-3, DI-5
    floor = norm(np.zeros_like(t), p, eps) if eps_at == "floor" else None
    above = d > floor if floor is not None else (d > 0) | (p == 1)  # with p = 1 each coordinate has its own kink
    largest = np.argmax(np.abs(t), axis=-1)  # DI-16: the lowest of those that tie
    return PNorm(difference, shift, p, d, floor, np.asarray(above), np.sign(t), np.asarray(largest))  # DI-14


@dataclass(frozen=True)
class SquaredEuclidean:
    """The sum of the squares of t = x - y."""

    t: Array

    @property
    def value(self) -> Array:
        """The distances, (...)."""
        return np.asarray(np.sum(self.t * self.t, axis=-1))  # DI-7

    @property
    def gradients(self) -> Pair:
        """Their gradients with respect to x and y, (..., D) each."""
        return 2 * self.t, -2 * self.t  # DI-12


@dataclass(frozen=True)
class Cosine:
    """One minus the cosine of x and y."""

    norms: Pair  # (...)
    units: Pair  # (..., D), 0 for a zero row
    inverse_norms: Pair  # (..., 1), 0 for both rows where one of them is zero

    @property
    def cosine(self) -> Array:
        """The cosines, (..., 1): 0 where a row is 0 (DI-10), unless the other holds NaN (CV-10)."""
        return dot(*self.units)

    @property
    def value(self) -> Array:
        """The distances, (...)."""
        return np.asarray(1 - self.cosine[..., 0])  # DI-8

    @property
    def gradients(self) -> Pair:
        """Their gradients with respect to x and y, (..., D) each."""
        c, (u, w), (inverse_x, inverse_y) = self.cosine, self.units, self.inverse_norms
        return (c * u - w) * inverse_x, (c * w - u) * inverse_y  # DI-13, DI-18


def cosine(x: Array, y: Array) -> Cosine:
    """Return one minus the cosine; a zero row has cosine 0 and no gradient."""
    norms = norm(np.abs(x), 2), norm(np.abs(y), 2)
    both = (norms[0] != 0) & (norms[1] != 0)
    inverse_x, inverse_y = (over(np.ones_like(n)[..., None], np.where(both, n, 0)) for n in norms)
    return Cosine(norms, (over(x, norms[0]), over(y, norms[1])), (inverse_x, inverse_y))


def metric(distance: str, p: float, eps: float, eps_at: str) -> Metric:
    """Return the distance that the options name."""
    named: dict[str, Metric] = {
        "p_norm": lambda x, y: p_norm(x, y, p, eps, eps_at),
        "euclidean": lambda x, y: p_norm(x, y, 2.0, 0.0, "difference"),  # DI-9
        "squared_euclidean": lambda x, y: SquaredEuclidean(x - y),
        "cosine": cosine,
    }
    return named[distance]


def norm(size: Array, p: float, added: float = 0.0) -> Array:
    """Return (sum_k size_k**p + added)**(1/p), in units near the largest size, so that no power leaves the range."""
    largest = np.max(size, axis=-1)
    if p == np.inf:
        return np.asarray(largest)  # DI-3
    unit = np.maximum(largest, size.dtype.type(added) ** (1 / p))
    unit = np.where(unit > 0, unit, 1)
    if p <= 2:
        unit = np.ldexp(size.dtype.type(1), np.frexp(unit)[1] - 1)  # a power of two: exact on dyadic rows
    total = np.sum((size / unit[..., None]) ** p, axis=-1)
    if added:
        total = total + added / unit**p
    return np.asarray(unit * (np.sqrt(total) if p == 2 else total ** (1 / size.dtype.type(p))))


def over(rows: Array, divisor: Array) -> Array:
    """Divide each row (..., D) by its divisor (...), with 0 where that is 0."""
    quotient: Array = np.divide(rows, divisor[..., None], out=np.zeros_like(rows), where=divisor[..., None] != 0)
    return quotient


def dot(x: Array, y: Array) -> Array:
    """Return the inner product of each pair of rows, with the axis kept."""
    return np.asarray(np.sum(x * y, axis=-1, keepdims=True))
