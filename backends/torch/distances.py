"""Distances of given rows, with the gradients that the spec chooses at kinks (spec/distances.md)."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor


def row_distance(x: Tensor, y: Tensor, distance: str, p: float, eps: float | Tensor, eps_at: str) -> Tensor:
    """Return the distance of each row of x from the same row of y: (..., D), (..., D) -> (...)."""
    if distance == "cosine":
        return _cosine(x, y)
    if distance == "squared_euclidean":
        t = _bounded(x - y, 2.0)
        return _finite((t * t).sum(-1))  # DI-7, DI-12
    if distance == "euclidean":
        p, eps, eps_at = 2.0, 0.0, "difference"  # DI-9
    if isinstance(eps, float):
        eps = min(eps, torch.finfo(x.dtype).max)
    nothing = isinstance(eps, float) and eps == 0
    t = x - y
    if eps_at == "difference" and not nothing:
        t = t + eps  # DI-4
    root = 0.0 if eps_at != "root" or nothing else eps
    floor = 0.0 if eps_at != "floor" or nothing else eps
    return _finite(_p_norm(_bounded(t, p), p, root, floor))


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


def _bounded(t: Tensor, p: float) -> Tensor:
    """Keep a difference so small that its p-th power is finite: no finite input gives NaN (CV-19)."""
    largest = torch.finfo(t.dtype).max
    limit = 2.0**-2 * largest**0.5 if p == 2 else largest
    return t.clamp(-limit, limit)


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
