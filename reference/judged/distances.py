"""Row distances as the judge asks about them: decisions, error scales and second derivatives (spec/distances.md).

`E` and `C` are the error scales of the page's table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from lossproof.reference.distances import Cosine, Pair, PNorm, RowDistance, SquaredEuclidean, dot, norm, over
from lossproof.reference.judged.decisions import Decisions
from lossproof.reference.pairwise import Floored
from lossproof.reference.typing import Array


@dataclass(frozen=True)
class Parts:
    """A distance with something else in the place of its gradients, which reaches the inputs as they do."""

    value: Array
    gradients: Pair


@dataclass(frozen=True)
class Judged(Parts):
    """A distance whose gradients are those of the decisions taken."""

    scale: Array  # (...), E
    gradient_scales: Pair  # (..., D), C

    def scales(self, *, sign: int = 1) -> Parts:
        """Return the error scales in the place of the gradients, with sign -1 for a distance that is subtracted."""
        return self._with(self.gradient_scales, sign)

    def along(self, vx: Array, vy: Array) -> Parts:
        """Return the derivative of the gradients along (vx, vy) in their place."""
        return Parts(self.value, self.second(vx, vy))

    def along_scales(self, vx: Array, vy: Array, *, sign: int = 1) -> Parts:
        """Return the error scales of that derivative."""
        return self._with(self.second_scales(vx, vy), sign)

    def slope(self, vx: Array, vy: Array) -> Array:
        """Return the derivative of the distance along (vx, vy)."""
        return np.asarray(dot(self.gradients[0], vx) + dot(self.gradients[1], vy))[..., 0]

    def slope_scale(self, vx: Array, vy: Array) -> Array:
        """Return the error scale of that derivative."""
        return np.asarray(dot(self.gradient_scales[0], np.abs(vx)) + dot(self.gradient_scales[1], np.abs(vy)))[..., 0]

    def _with(self, parts: Pair, sign: int) -> Parts:
        return Parts(self.value, (sign * parts[0], sign * parts[1]))

    def second(self, vx: Array, vy: Array) -> Pair:
        """Return the derivative of the gradients along (vx, vy)."""
        raise NotImplementedError

    def second_scales(self, vx: Array, vy: Array) -> Pair:
        """Return the error scale of each entry of `second`."""
        raise NotImplementedError


@singledispatch
def judged(found: RowDistance, name: str, decisions: Decisions) -> Judged:
    """Return a distance with its decisions taken, which belong to `name`."""
    raise TypeError(f"nothing is known of {type(found).__name__}")


@dataclass(frozen=True)
class _PNorm(Judged):
    ratio: Array  # |t_k| / d, or 0 for the whole row where a kink makes its derivative 0
    condition: Array  # E / d
    p: float

    def second(self, vx: Array, vy: Array) -> Pair:
        if self.p in (1, np.inf):  # piecewise linear, CV-14
            return np.zeros_like(vx), np.zeros_like(vy)
        v, g = vx - vy, self.gradients[0]
        curvature = (self.p - 1) * (_power(self.ratio, self.p - 2) * v - g * dot(g, v))
        along = over(curvature, np.any(self.ratio, axis=-1) * self.value)
        return along, -along

    def second_scales(self, vx: Array, vy: Array) -> Pair:
        if self.p in (1, np.inf):
            return np.ones_like(vx), np.ones_like(vy)
        v, g = np.abs(vx) + np.abs(vy), np.abs(self.gradients[0])
        size = (self.p + 1) ** 2 * (_power(self.ratio, self.p - 2) * v + (1 + g) * dot(1 + g, v))
        scale = over(size, self.value) * self.condition[..., None] ** 2
        return scale, scale


def _power(ratio: Array, exponent: float) -> Array:
    """Return ratio**exponent, but 0 where that is infinite (CV-14); 0**0 is 1, the curvature 1/d of p = 2."""
    return np.where(
        (ratio == 0) & (exponent < 0),
        0,
        np.power(np.where(ratio == 0, 0 if exponent >= 0 else 1, ratio), exponent),
    )


@judged.register
def _p_norm(found: PNorm, name: str, decisions: Decisions) -> Judged:
    d, p, t = found.value, found.p, found.difference + found.shift
    size_of_parts = np.abs(found.difference) + found.shift
    scale = norm(size_of_parts, p) if found.shift else d
    above, sign, largest = found.above, found.sign, found.largest
    if found.floor is not None:
        above = decisions.take(f"{name}: above the floor", above, found.norm - found.floor, d, (False, True))
    if p == 1:
        sign = decisions.take(f"{name}: a coordinate is 0", sign, t, size_of_parts, (-1, 0, 1))
    if p == np.inf:
        largest = decisions.pick_largest(f"{name}: largest coordinate", np.abs(t), scale)
    found = replace(found, above=above, sign=sign, largest=largest)
    gradient = found.gradients[0]
    if p > 1 and found.floor is None:
        zero = decisions.take(f"{name}: the rows coincide", np.zeros_like(d), d, scale, (-1, 0, 1))
        gradient = np.where(zero[..., None] == 0, gradient, zero[..., None])  # a corner of the dual ball
    condition = np.where(d > 0, over(scale[..., None], d)[..., 0], 1)
    spread = (1 if p == np.inf else 1 + (p - 1) * np.abs(gradient)) * condition[..., None] * np.ones_like(t)
    return _PNorm(d, (gradient, -gradient), scale, (spread, spread), found.ratio, condition, p)


@dataclass(frozen=True)
class _Squared(Judged):
    def second(self, vx: Array, vy: Array) -> Pair:
        along = 2 * (vx - vy)
        return along, -along

    def second_scales(self, vx: Array, vy: Array) -> Pair:
        scale = 2 * (np.abs(vx) + np.abs(vy))
        return scale, scale


@judged.register
def _squared(found: SquaredEuclidean, name: str, decisions: Decisions) -> Judged:
    d, size = found.value, 2 * np.abs(found.t)
    return _Squared(d, found.gradients, d, (size, size))  # it is smooth and decides nothing


@judged.register
def _floored(found: Floored, name: str, decisions: Decisions) -> Judged:
    scale, slack = np.maximum(found.plain.value, found.floor), found.plain.value - found.floor
    above = decisions.take(f"{name}: above the floor", found.above, slack, scale, (False, True))
    found = replace(found, above=above)
    spread = np.where(above[..., None], 2 * np.abs(found.plain.t), 0)
    return Judged(found.value, found.gradients, scale, (spread, spread))


@dataclass(frozen=True)
class _Cosine(Judged):
    units: Pair
    inverse_norms: Pair

    def second(self, vx: Array, vy: Array) -> Pair:
        return self._half(0, vx, vy), self._half(1, vy, vx)

    def _half(self, own: int, v_own: Array, v_other: Array) -> Array:
        """Differentiate (c u - w) / |x|, the gradient of 1 - c with respect to the row `own`."""
        u, w = self.units[own], self.units[1 - own]
        inverse, inverse_other = self.inverse_norms[own], self.inverse_norms[1 - own]
        c = dot(u, w)
        du, dw = (v_own - u * dot(u, v_own)) * inverse, (v_other - w * dot(w, v_other)) * inverse_other
        dc = dot(du, w) + dot(u, dw)
        return np.asarray((dc * u + c * du - dw) * inverse - (c * u - w) * inverse**2 * dot(u, v_own))

    def second_scales(self, vx: Array, vy: Array) -> Pair:
        norms = [np.sqrt(dot(v, v)) * inverse for v, inverse in zip((vx, vy), self.inverse_norms, strict=True)]
        both = 4 * (norms[0] + norms[1])
        return both * self.inverse_norms[0] * np.ones_like(vx), both * self.inverse_norms[1] * np.ones_like(vy)


@judged.register
def _cosine(found: Cosine, name: str, decisions: Decisions) -> Judged:
    for row, size in zip(("first", "second"), found.norms, strict=True):
        decisions.take(f"{name}: the {row} row is 0", size > 0, size, size, (False, True))
    first, second = (2 * inverse * np.ones_like(u) for inverse, u in zip(found.inverse_norms, found.units, strict=True))
    d = found.value
    return _Cosine(d, found.gradients, 2 * np.maximum(1, d), (first, second), found.units, found.inverse_norms)
