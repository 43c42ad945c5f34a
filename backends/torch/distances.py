"""Distances of given rows, with the gradients that the spec chooses at kinks (spec/distances.md)."""

from __future__ import annotations

from functools import partial
from math import inf

import torch
from torch import Tensor

from lossproof.backends.torch import fused
from lossproof.backends.torch.arrays import plain


def row_distance(x: Tensor, y: Tensor, distance: str, p: float, eps: float | Tensor, eps_at: str) -> Tensor:
    """Return the distance of each row of x from the same row of y: (..., D), (..., D) -> (...)."""
    offset = _offset(distance, p, eps, eps_at)
    if offset is not None and plain(x, y) and x.shape == y.shape:
        d = fused.distance(x, y, offset, partial(_formula, distance="p_norm", p=2.0, eps=offset, eps_at="difference"))
        if fused.settled(d):
            return d
    return _formula(x, y, distance, p, eps, eps_at)


def slack(
    anchor: Tensor, positive: Tensor, negative: Tensor, distance: str, p: float, eps: float | Tensor, eps_at: str
) -> Tensor:
    """Return d(anchor, positive) - d(anchor, negative) of each row: three of (..., D) -> (...)."""

    def formula(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        to_positive = _formula(anchor, positive, distance, p, eps, eps_at)
        return to_positive - _formula(anchor, negative, distance, p, eps, eps_at)

    offset = _offset(distance, p, eps, eps_at)
    if offset is not None and plain(anchor, positive, negative):
        difference = fused.slack(anchor, positive, negative, offset, formula)
        if fused.settled(difference):
            return difference
    return formula(anchor, positive, negative)


def _offset(distance: str, p: float, eps: float | Tensor, eps_at: str) -> float | None:
    """Return what is added to the differences of a Euclidean distance; None for another one, or for a tensor."""
    if distance == "euclidean":
        return 0.0  # DI-9
    if distance != "p_norm" or p != 2 or not isinstance(eps, float) or (eps_at != "difference" and eps != 0):
        return None
    return eps


def _formula(x: Tensor, y: Tensor, distance: str, p: float, eps: float | Tensor, eps_at: str) -> Tensor:
    if distance == "cosine":
        return _cosine(x, y)
    if distance == "squared_euclidean":
        t = quarter(x, y)
        return _finite(16 * (t * t).sum(-1))  # DI-7, DI-12
    if distance == "euclidean":
        p, eps, eps_at = 2.0, 0.0, "difference"  # DI-9
    if isinstance(eps, float):
        eps = min(eps, torch.finfo(x.dtype).max)
    offset, root, floor = (eps if eps_at == at else 0.0 for at in ("difference", "root", "floor"))
    if p == 2:
        return _finite(4 * _p_norm(quarter(x, y, offset), p, root / 16, floor / 16))
    largest = torch.finfo(x.dtype).max
    t = x - y
    if not isinstance(offset, float) or offset:
        t = t + offset  # DI-4
    return _finite(_p_norm(t.clamp(-largest, largest), p, root, floor))


def quarter(x: Tensor, y: Tensor, offset: float | Tensor = 0.0) -> Tensor:
    """Return a quarter of x - y + offset, which no finite numbers make infinite: CV-19."""
    t = torch.sub(0.25 * x, y, alpha=0.25)
    return t + 0.25 * offset if not isinstance(offset, float) or offset else t  # DI-4


def _p_norm(t: Tensor, p: float, root: float | Tensor, floor: float | Tensor) -> Tensor:
    """Return max(sum |t|^p + root, floor)^(1/p), with gradient 0 at or below the floor and at t = 0."""
    if p == inf:
        size = t.abs()
        return size.gather(-1, size.detach().argmax(-1, keepdim=True)).squeeze(-1)  # DI-3, DI-16
    if p == 1:
        total = t.abs().sum(-1) + root  # DI-2, DI-14
        return torch.where(total <= floor, floor, total)  # DI-6, DI-17
    if p == 2:
        total = (t * t).sum(-1) + root  # DI-1, DI-5
        low = total <= floor  # with floor 0 this is t = 0: DI-15
        return torch.where(low, floor**0.5, total.masked_fill(low, 1.0).sqrt())
    p = min(p, 2.0**60)  # with a larger one only the largest size is left, and p itself would overflow
    # Other exponents: in units of the largest size, which carries no gradient, nothing overflows (DI-19).
    size = t.abs()
    unit = size.detach().amax(-1).clamp(min=(root + floor) ** (1 / p)).clamp(min=torch.finfo(t.dtype).tiny)
    zero = size.detach() == 0  # the second derivative is 0 there (CV-14)
    powers = (size / unit.unsqueeze(-1)).masked_fill(zero, 1.0).pow(p).masked_fill(zero, 0.0)
    total = powers.sum(-1) + (root ** (1 / p) / unit) ** p
    low = total <= (floor ** (1 / p) / unit) ** p
    return torch.where(low, floor ** (1 / p), unit * total.masked_fill(low, 1.0).pow(1 / p))


def _finite(d: Tensor) -> Tensor:
    """Keep a distance so small that the difference of two is finite (CV-19)."""
    return d.clamp(max=torch.finfo(d.dtype).max / 4)


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    """Return 1 - cos; a zero row has cosine 0 and gives no gradient to either row (DI-8, DI-10, DI-18)."""
    x, y = _scaled(x), _scaled(y)
    xx, yy = (x * x).sum(-1), (y * y).sum(-1)
    zero = (xx == 0) | (yy == 0)
    u, w = (row / square.masked_fill(zero, 1.0).sqrt().unsqueeze(-1) for row, square in ((x, xx), (y, yy)))
    cosine = (u * w).sum(-1)
    return 1 - torch.where(zero, cosine.detach(), cosine)


def _scaled(x: Tensor) -> Tensor:
    """Divide each row by its largest size, without gradient: the cosine is the same at every scale."""
    largest = x.detach().abs().amax(-1, keepdim=True)
    return x / largest.masked_fill(largest < torch.finfo(x.dtype).tiny, 1.0)  # subnormal rows count as zero


def unit_rows(x: Tensor) -> Tensor:
    """Return rows at unit length; a zero row stays zero and gets no gradient: DI-10, DI-18, AF-9, AF-14, CI-12."""
    return fused.units(x, unit_rows_by_formula) if plain(x) else unit_rows_by_formula(x)


def both_unit_rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return two arrays of rows at unit length, rounded in one way: equal rows stay equal (AF-13)."""
    if plain(x, y):
        return fused.units(x, unit_rows_by_formula), fused.units(y, unit_rows_by_formula)
    return unit_rows_by_formula(x), unit_rows_by_formula(y)


def unit_rows_by_formula(x: Tensor) -> Tensor:
    """Return the same, whatever is made of the call."""
    x = _scaled(x)
    square = (x * x).sum(-1, keepdim=True)
    zero = square == 0
    return (x / square.masked_fill(zero, 1.0).sqrt()).masked_fill(zero, 0.0)
