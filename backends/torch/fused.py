"""Distances and directions of given rows in as few passes over them as they need, for plain calls alone.

The derivative of a function here is written out. The derivative of that is the formula's, which the caller hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., Tensor]


def distance(x: Tensor, y: Tensor, eps: float, formula: Formula) -> Tensor:
    """Return |x - y + eps| of rows: (..., D), (..., D) -> (...). The caller looks whether it is `settled`."""
    d: Tensor = _Distance.apply(x, y, eps, formula)  # type: ignore[no-untyped-call]
    return d


def slack(anchor: Tensor, positive: Tensor, negative: Tensor, eps: float, formula: Formula) -> Tensor:
    """Return |anchor - positive + eps| - |anchor - negative + eps| of rows, likewise: three of (..., D) -> (...)."""
    difference: Tensor = _Slack.apply(anchor, positive, negative, eps, formula)  # type: ignore[no-untyped-call]
    return difference


def units(x: Tensor, formula: Formula) -> Tensor:
    """Return rows (..., D) at unit length, and zeros for a zero row, which gets no gradient: any rows will do."""
    unit: Tensor = _Units.apply(x, formula)  # type: ignore[no-untyped-call]
    return unit


def settled(numbers: Tensor) -> bool:
    """Whether all numbers are finite: a square overflowed nowhere, and no row held NaN. Else the formula says more."""
    return isfinite(float(numbers.detach().sum()))


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, eps: float, formula: Formula) -> Tensor:
        t = torch.sub(x, y)
        if eps:
            t.add_(eps)  # DI-4
        d: Tensor = torch.linalg.vector_norm(t, dim=-1)  # DI-1
        ctx.save_for_backward(x, y, t, d)
        ctx.formula = formula
        return d

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, t, d = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *derived(ctx.formula, (x, y), ctx.needs_input_grad, gradient), None, None
        to_x = t * _share(gradient, d)
        return to_x, -to_x if ctx.needs_input_grad[1] else None, None, None


class _Slack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, positive: Tensor, negative: Tensor, eps: float, formula: Formula) -> Tensor:
        t = anchor.new_empty((2, *anchor.shape))
        torch.sub(anchor, positive, out=t[0])
        torch.sub(anchor, negative, out=t[1])
        if eps:
            t.add_(eps)  # DI-4
        d: Tensor = torch.linalg.vector_norm(t, dim=-1)  # DI-1
        ctx.save_for_backward(anchor, positive, negative, t, d)
        ctx.formula = formula
        return d[0] - d[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, t, d = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *derived(ctx.formula, inputs, ctx.needs_input_grad, gradient), None, None
        share = _share(gradient, d)
        near, far = t[0] * share[0], t[1] * share[1]  # a gradient is nobody else's memory
        return near - far, near.neg_(), far, None, None


class _Units(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, formula: Formula) -> Tensor:
        largest = torch.linalg.vector_norm(x, torch.inf, dim=-1, keepdim=True)
        largest.masked_fill_(largest < torch.finfo(x.dtype).tiny, torch.inf)  # subnormal rows count as zero
        unit: Tensor = x / largest  # rows of one direction become the same row
        length = torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
        zero = length == 0
        unit.div_(length.masked_fill_(zero, 1.0))
        ctx.save_for_backward(x, unit, (1 / (largest * length)).masked_fill_(zero, 0.0))
        ctx.formula = formula
        return unit.masked_fill_(zero, 0.0) if zero.any() else unit

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, unit, share = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *derived(ctx.formula, (x,), ctx.needs_input_grad, gradient), None
        along = (unit * gradient).sum(-1, keepdim=True)  # no product of matrices, which autocast would coarsen: CV-20
        return torch.addcmul(gradient, unit, along, value=-1).mul_(share), None


def _share(gradient: Tensor, d: Tensor) -> Tensor:
    """Return what each coordinate of a difference is multiplied by.

    Rows that coincide get no gradient (DI-15), nor do those whose distance is subnormal: its inverse is infinite.
    """
    return (gradient / d).masked_fill_(d < torch.finfo(d.dtype).tiny, 0.0).unsqueeze(-1)


def derived(formula: Formula, given: Sequence[Tensor], needed: Sequence[bool], gradient: Tensor) -> list[Tensor | None]:
    """Return the derivatives of a formula in a form that can be derived again (CV-14), None for those not needed."""
    own = [value.view_as(value) for value in given]  # one tensor may have been given twice
    needed = needed[: len(own)]
    asked = [value for value, need in zip(own, needed, strict=True) if need]
    found = iter(torch.autograd.grad(formula(*own), asked, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]
