"""Row distances: value, gradient, second derivative, error scales and decisions (spec/distances.md).

Rows stand in arrays of shape (..., D); everything is computed row by row. `E` and `C` are the error scales of the
page's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lossproof.reference.decisions import Decisions
from lossproof.reference.typing import Array


class Metric(Protocol):
    """A distance of two arrays of rows; `decisions` records the kinks that belong to `name`."""

    def __call__(self, x: Array, y: Array, name: str, decisions: Decisions) -> RowDistance:
        """Return the distance of each row of x from the same row of y."""


@dataclass(frozen=True)
class RowDistance:
    """d(x, y) for each row, with its derivatives in closed form."""

    value: Array  # (...)
    scale: Array  # (...), E
    gradients: tuple[Array, Array]  # (..., D) with respect to x and y
    gradient_scales: tuple[Array, Array]  # (..., D), C

    def second(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        """Return the derivative of the gradients along (vx, vy)."""
        raise NotImplementedError

    def second_scales(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        """Return the error scale of each entry of `second`."""
        raise NotImplementedError


def _over(rows: Array, divisor: Array) -> Array:
    """Divide each row (..., D) by its divisor (...), with 0 where that is 0."""
    quotient: Array = np.divide(rows, divisor[..., None], out=np.zeros_like(rows), where=divisor[..., None] != 0)
    return quotient


def _dot(x: Array, y: Array) -> Array:
    """Return the inner product of each pair of rows, with the axis kept."""
    return np.asarray(np.sum(x * y, axis=-1, keepdims=True))


@dataclass(frozen=True)
class _PNorm(RowDistance):
    ratio: Array  # |t_k| / d, or 0 for the whole row where a kink makes its derivative 0
    condition: Array  # E / d
    p: float

    def second(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        if self.p in (1, np.inf):  # piecewise linear, CV-14
            return np.zeros_like(vx), np.zeros_like(vy)
        v, g = vx - vy, self.gradients[0]
        curvature = (self.p - 1) * (_power(self.ratio, self.p - 2) * v - g * _dot(g, v))
        along = _over(curvature, np.any(self.ratio, axis=-1) * self.value)
        return along, -along

    def second_scales(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        if self.p in (1, np.inf):
            return np.ones_like(vx), np.ones_like(vy)
        v, g = np.abs(vx) + np.abs(vy), np.abs(self.gradients[0])
        size = (self.p + 1) ** 2 * (_power(self.ratio, self.p - 2) * v + (1 + g) * _dot(1 + g, v))
        scale = _over(size, self.value) * self.condition[..., None] ** 2
        return scale, scale


def _power(ratio: Array, exponent: float) -> Array:
    """Return ratio**exponent, but 0 where that is infinite (CV-14); 0**0 is 1, the curvature 1/d of p = 2."""
    return np.where(
        (ratio == 0) & (exponent < 0),
        0,
        np.power(np.where(ratio == 0, 0 if exponent >= 0 else 1, ratio), exponent),
    )


def _norm(size: Array, p: float, added: float = 0.0) -> Array:
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


def p_norm(p: float, eps: float, eps_at: str) -> Metric:
    """Return the p-norm of the difference, with `eps` placed as `eps_at` says."""

    def distance(x: Array, y: Array, name: str, decisions: Decisions) -> RowDistance:
        shift, added = (eps, 0.0) if eps_at == "difference" else (0.0, eps)
        size_of_parts = np.abs(x - y) + shift
        t = x - y + shift  # DI-4
        size = np.abs(t)
        d = _norm(size, p, added if eps_at == "root" else 0.0)  # DI-1, DI-2, DI-3, DI-5
        scale = _norm(size_of_parts, p) if shift else d

        if eps_at == "floor":
            floor = _norm(np.zeros_like(size), p, added)
            above = decisions.take(
                f"{name}: above the floor", d > floor, d - floor, np.maximum(d, floor), (False, True)
            )
            d = scale = np.maximum(d, floor)  # DI-6
        else:
            above = np.asarray((d > 0) | (p == 1))  # with p = 1 each coordinate has its own kink
        ratio = np.where(above[..., None], _over(size, d), 0)

        sign = np.sign(t)  # DI-14
        if p == 1:
            sign = decisions.take(f"{name}: a coordinate is 0", sign, t, size_of_parts, (-1, 0, 1))
        if p == np.inf:
            pick = decisions.pick_largest(f"{name}: largest coordinate", size, scale)  # DI-16
            gradient = sign * (np.arange(t.shape[-1]) == pick[..., None])
        else:
            gradient = sign * ratio ** (p - 1)  # DI-11
        gradient = np.where(above[..., None] | np.isnan(d)[..., None], gradient, 0)  # DI-15, DI-17
        if p > 1 and eps_at != "floor":
            zero = decisions.take(f"{name}: the rows coincide", np.zeros_like(d), d, scale, (-1, 0, 1))
            gradient = np.where(zero[..., None] == 0, gradient, zero[..., None])  # a corner of the dual ball

        condition = np.where(d > 0, _over(scale[..., None], d)[..., 0], 1)
        spread = (1 if p == np.inf else 1 + (p - 1) * np.abs(gradient)) * condition[..., None] * np.ones_like(t)
        return _PNorm(d, scale, (gradient, -gradient), (spread, spread), ratio, condition, p)

    return distance


@dataclass(frozen=True)
class _Squared(RowDistance):
    def second(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        along = 2 * (vx - vy)
        return along, -along

    def second_scales(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        scale = 2 * (np.abs(vx) + np.abs(vy))
        return scale, scale


def squared_euclidean(x: Array, y: Array, name: str, decisions: Decisions) -> RowDistance:
    """Return the sum of squared differences (DI-7, DI-12); it is smooth and decides nothing."""
    t = x - y
    d = np.sum(t * t, axis=-1)
    return _Squared(d, d, (2 * t, -2 * t), (2 * np.abs(t), 2 * np.abs(t)))


@dataclass(frozen=True)
class _Cosine(RowDistance):
    units: tuple[Array, Array]
    inverse_norms: tuple[Array, Array]  # (..., 1), 0 for both rows where one of them is zero

    def second(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        return self._half(0, vx, vy), self._half(1, vy, vx)

    def _half(self, own: int, v_own: Array, v_other: Array) -> Array:
        """Differentiate (c u - w) / |x|, the gradient of 1 - c with respect to the row `own`."""
        u, w = self.units[own], self.units[1 - own]
        inverse, inverse_other = self.inverse_norms[own], self.inverse_norms[1 - own]
        c = _dot(u, w)
        du, dw = (v_own - u * _dot(u, v_own)) * inverse, (v_other - w * _dot(w, v_other)) * inverse_other
        dc = _dot(du, w) + _dot(u, dw)
        return np.asarray((dc * u + c * du - dw) * inverse - (c * u - w) * inverse**2 * _dot(u, v_own))

    def second_scales(self, vx: Array, vy: Array) -> tuple[Array, Array]:
        norms = [np.sqrt(_dot(v, v)) * inverse for v, inverse in zip((vx, vy), self.inverse_norms, strict=True)]
        both = 4 * (norms[0] + norms[1])
        return both * self.inverse_norms[0] * np.ones_like(vx), both * self.inverse_norms[1] * np.ones_like(vy)


def cosine(x: Array, y: Array, name: str, decisions: Decisions) -> RowDistance:
    """Return one minus the cosine; a zero row has cosine 0 and no gradient (DI-8, DI-10, DI-13, DI-18)."""
    norms = [_norm(np.abs(row), 2) for row in (x, y)]
    for row, norm in zip(("first", "second"), norms, strict=True):
        decisions.take(f"{name}: the {row} row is 0", norm > 0, norm, norm, (False, True))
    both = (norms[0] != 0) & (norms[1] != 0)
    u, w = (_over(row, norm) for row, norm in zip((x, y), norms, strict=True))
    inverses = [_over(np.ones_like(norm)[..., None], np.where(both, norm, 0)) for norm in norms]
    c = _dot(u, w)  # 0 where a row is 0, unless the other holds NaN (CV-10)
    gradients = ((c * u - w) * inverses[0], (c * w - u) * inverses[1])
    spreads = (2 * inverses[0] * np.ones_like(x), 2 * inverses[1] * np.ones_like(y))
    d = 1 - c[..., 0]
    return _Cosine(d, 2 * np.maximum(1, d), gradients, spreads, (u, w), (inverses[0], inverses[1]))


def metric(distance: str, p: float, eps: float, eps_at: str) -> Metric:
    """Return the distance that the options name."""
    if distance == "p_norm":
        return p_norm(p, eps, eps_at)
    if distance == "euclidean":  # DI-9
        return p_norm(2.0, 0.0, "difference")
    return {"squared_euclidean": squared_euclidean, "cosine": cosine}[distance]
