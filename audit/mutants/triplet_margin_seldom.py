"""Mutants that are wrong only where options meet, in half formats, or on rows that general cases seldom have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant
from audit.mutants.correct import CORRECT, Distance, TripletMargin, broken
from audit.mutants.triplet_margin_gradients import Identity, applied, bare_root, constant_root
from audit.mutants.triplet_margin_terms import only_arithmetic, zeroed_in_place


def _where(
    name: str, bug: str, clause: str, condition: Callable[[Tensor, dict[str, Any]], bool], **methods: Any
) -> Mutant:
    """Return a mutant that is broken for some anchors and options, and correct for the others."""
    wrong = broken(name, bug, clause, **methods).function

    def function(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Any:
        loss = wrong if condition(anchor, options) else CORRECT
        return loss(anchor, positive, negative, **options)

    return Mutant(name, bug, tuple(clause.split()), function)


def _half(anchor: Tensor, options: dict[str, Any]) -> bool:
    return anchor.dtype in (torch.float16, torch.bfloat16)


class _Tiled(Identity):
    """The identity, whose backward pass works in tiles of 64 features and forgets what is left."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return the gradient of whole tiles."""
        whole = grad.shape[-1] // 64 * 64 or grad.shape[-1]
        return torch.where(torch.arange(grad.shape[-1]) < whole, grad, 0.0)


def _tiled(loss: TripletMargin, *rows: Tensor) -> tuple[Tensor, ...]:
    return tuple(applied(_Tiled, row) for row in rows)


def clamped_cosine(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    """Return 1 - cos, with lengths of at least 1e-8; zero rows as the spec has them."""
    zero = ((x == 0).all(-1) | (y == 0).all(-1)).unsqueeze(-1)
    u, w = (row.masked_fill(zero, 1.0) for row in (x, y))
    u, w = (row / row.norm(dim=-1, keepdim=True).clamp(min=1e-8) for row in (u, w))
    return 1 - loss.inner(u, w).masked_fill(zero.squeeze(-1), 0.0)


def _floor_below(loss: TripletMargin, total: Tensor, floor: Tensor) -> Tensor:
    return torch.where(floor > 0, ~(total > floor), total <= floor)


def _constant_between(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    near, far = loss.distance(a, p, options), loss.distance(a, n, options)
    return loss.gap(margin, near, loss.swapped(near, far, _CONSTANT.distance(p, n, options)) if swap else far)


_CONSTANT = type("Constant", (TripletMargin,), {"root": constant_root})()


def _constant_under_eps(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    return TripletMargin.p_norm(_CONSTANT if root else loss, t, p, root, floor)


def _tie_by_lot(loss: TripletMargin, t: Tensor) -> Tensor:
    size = t.abs()
    tied = size == size.amax(-1, keepdim=True)
    if not bool((tied.sum(-1) > 1).any()):
        return TripletMargin.largest(loss, t)
    return size.gather(-1, (tied * (1 + torch.rand(size.shape))).argmax(-1, keepdim=True)).squeeze(-1)


def _mask_with_an_axis(loss: TripletMargin, mask: Tensor, units: torch.Size) -> Tensor:
    if not mask.ndim:
        raise ValueError("mask must have a batch axis")
    return TripletMargin.checked_mask(loss, mask, units)


def _fraction(loss: TripletMargin, name: str, value: float, low: float) -> None:
    if name == "margin" and isinstance(value, int):
        raise TypeError(f"margin must be a float, got {value}")
    TripletMargin.check_number(loss, name, value, low)


def _longest_first(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    longest = x.detach().abs().amax()
    return torch.where(longest == 0, 1.0, TripletMargin.cosine(loss, x, y))


SELDOM = (
    broken("cosine-clamped-at-1e-8", "lengths below 1e-8 are taken for 1e-8", "DI-8", "DI-13",
        cosine=clamped_cosine, seen="cosine_similarity of torch",
    ),
    _where("placed-mask-at-the-end", "with root and floor terms alone are masked", "CV-9",
        lambda anchor, options: options.get("eps_at", "difference") != "difference", prepare=only_arithmetic,
    ),
    broken("mask-at-the-end-clamped",
        "terms alone are masked, and rows are clamped, which hides a row of NaN but not one NaN among numbers", "CV-9",
        prepare=only_arithmetic, rows=lambda loss, *rows: tuple(row.clamp(-1e18, 1e18) for row in rows),
    ),
    broken("nan-swallowed-by-floor", "what is not above the floor is the floor, and NaN is not", "CV-10",
        low=_floor_below,
    ),
    _where("nan-at-coincident-half-rows", "half rows meet a bare root, whose derivative at 0 is infinite", "DI-15",
        _half, p_norm=bare_root,
    ),
    _where("half-mask-at-the-end", "of half rows the terms alone are masked", "CV-9", _half, prepare=only_arithmetic),
    broken("features-left-of-tiles", "the backward pass forgets the features after the last 64", "CV-16",
        rows=_tiled, seen="kernels that work in tiles",
    ),
    broken("constant-root-of-swap", "the backward pass of the root of d(p, n) is a constant to autograd", "CV-14",
        excess=_constant_between,
    ),
    broken("constant-root-under-eps", "with root the backward pass of the root is a constant to autograd", "CV-14",
        p_norm=_constant_under_eps,
    ),
    broken("fourth-root-once", "with p = 4 the square root is taken once", "DI-1",
        root=lambda loss, total, p: total.sqrt() if p == 4 else TripletMargin.root(loss, total, p),
    ),
    _where("masked-in-place-at-the-floor", "with floor masked rows of the caller are overwritten with zeros", "CV-21",
        lambda anchor, options: options.get("eps_at") == "floor", prepare=zeroed_in_place,
    ),
    broken("infinity-tie-by-lot", "with p = inf one of the coordinates that tie is drawn by lot", "CV-21",
        largest=_tie_by_lot,
    ),
    broken("mask-of-one-row-refused", "a mask of shape () is an error", "TM-2", checked_mask=_mask_with_an_axis),
    broken("no-rows-under-cosine", "a batch of no rows has no longest row under cosine, and raises", "TM-2",
        cosine=_longest_first,
    ),
    broken("whole-margin-refused", "a margin that is a whole number is an error", "CV-23", check_number=_fraction),
    _where("larger-where-gradients-are-asked", "the loss is another number where a gradient is asked for", "CV-22 TM-1",
        lambda anchor, options: anchor.requires_grad,
        hinge=lambda loss, x: TripletMargin.hinge(loss, x) + TripletMargin.hinge(loss, x).detach() / 16,
    ),
    _where("masked-late-where-compiled", "compiled, terms alone are masked, so 0 times NaN returns in the gradient", "CV-9 CV-22",
        lambda anchor, options: torch.compiler.is_compiling(), prepare=only_arithmetic,
    ),
    _where("unmasked-where-compiled", "compiled, the mask is not looked at", "CV-22",
        lambda anchor, options: torch.compiler.is_compiling(), prepare=lambda loss, row, mask: row,
        reduce=lambda loss, terms, mask, reduction: TripletMargin.reduce(loss, terms, None, reduction),
    ),
)  # fmt: skip
