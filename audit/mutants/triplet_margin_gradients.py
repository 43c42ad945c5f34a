"""Mutants whose value is right and whose gradient, or second derivative, is not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from audit.mutants.correct import Distance, TripletMargin, broken


class _Scaled(torch.autograd.Function):
    """The identity, with a gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        """Return x."""
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient times the factor."""
        return grad * ctx.factor, None


class _DetachedRoot(torch.autograd.Function):
    """The square root, whose backward pass holds the result as a constant."""

    @staticmethod
    def forward(ctx: Any, total: Tensor) -> Tensor:
        """Return the root."""
        ctx.root = total.detach().sqrt()
        return total.sqrt()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return the right gradient, which autograd cannot differentiate rightly."""
        factor: Tensor = 0.5 / ctx.root
        return grad * factor


class Identity(torch.autograd.Function):
    """The identity; each kind has a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return x."""
        return x.view_as(x)


class _Coarse(Identity):
    """The identity, with a gradient rounded to about half its bits."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return the gradient with 24 of 53 bits, or 8 of 24."""
        return grad.to(torch.float32 if grad.dtype == torch.float64 else torch.bfloat16).to(grad.dtype)


class _Ones(Identity):
    """The identity, with gradient 1 whatever came from above."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(grad)


def applied(function: Any, *arguments: Any) -> Tensor:
    """Return what an autograd function returns; torch leaves `apply` without a type."""
    found: Tensor = function.apply(*arguments)
    return found


def scaled(x: Tensor, factor: float) -> Tensor:
    """Return x, with a gradient times a factor."""
    return applied(_Scaled, x, factor)


def _straight(value: Tensor, gradient: Tensor) -> Tensor:
    """Return one number with the gradient of another."""
    return value.detach() + (gradient - gradient.detach())


def _printed_slip(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    if options.name != "squared_euclidean" or swap:
        return TripletMargin.excess(loss, a, p, n, margin, options, swap)
    slip = (2 * (a - p).detach() * n).sum(-1)
    return TripletMargin.excess(loss, a, p, n.detach(), margin, options, swap) + (slip - slip.detach())


def _swap_forgets_positive(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    near, far = loss.distance(a, p, options), loss.distance(a, n, options)
    return loss.gap(margin, near, loss.swapped(near, far, loss.distance(p.detach(), n, options)) if swap else far)


def _root_forgotten(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    return scaled(TripletMargin.p_norm(loss, t, p, root, floor), 1.0 if p == 2 else p)


def bare_root(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    """Return a norm whose square root is bare."""
    if p != 2 or root or floor:
        return TripletMargin.p_norm(loss, t, p, root, floor)
    return (t * t).sum(-1).sqrt()


def _leaking_floor(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    without = TripletMargin.p_norm(loss, t, p, root, 0.0)
    return _straight(TripletMargin.p_norm(loss, t, p, root, floor), without) if floor else without


def _sum_as_mean(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    total = TripletMargin.reduce(loss, terms, mask, reduction)
    return scaled(total, 1 / max(terms.numel(), 1)) if reduction == "sum" else total


def _clamped_floor(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    if not floor or p not in (1, 2):
        return TripletMargin.p_norm(loss, t, p, root, floor)
    return loss.root(loss.powers(t, p).sum(-1).clamp(min=floor), p)


def _lengths(row: Tensor) -> Tensor:
    return (row * row).sum(-1, keepdim=True).sqrt()


def _detached_lengths(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    cosine = 1 - TripletMargin.cosine(loss, x, y).detach()
    u, w = (row / _lengths(row.detach()).clamp(min=1e-30) for row in (x, y))
    product = (u * w).sum(-1)
    return 1 - (cosine + (product - product.detach()))


def _clamped_lengths(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    u, w = (row / _lengths(row).clamp(min=1e-12) for row in (x, y))
    return 1 - (u * w).sum(-1)


def _step_at_zero(loss: TripletMargin, t: Tensor, p: float) -> Tensor:
    return torch.where(t < 0, -t, t) if p == 1 else TripletMargin.powers(loss, t, p)


def _bare_power(loss: TripletMargin, t: Tensor, p: float) -> Tensor:
    return t.abs().pow(p) if p not in (1, 2) else TripletMargin.powers(loss, t, p)


def _squared_at_zero(loss: TripletMargin, t: Tensor, p: float) -> Tensor:
    powers = TripletMargin.powers(loss, t, p)
    return torch.where(t == 0, t * t, powers) if p != 1 else powers


def constant_root(loss: TripletMargin, total: Tensor, p: float) -> Tensor:
    """Return a root whose backward pass is a constant to autograd."""
    return applied(_DetachedRoot, total) if p == 2 else TripletMargin.root(loss, total, p)


def _mean_nonzero_quotient(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    count = TripletMargin.count(loss, terms, mask, reduction)
    return count + (terms.sum() - terms.sum().detach()) if reduction == "mean_nonzero" else count


GRADIENTS = (
    broken("negative-distance-detached", "no gradient flows through d(a, n)", "TM-7",
        gap=lambda loss, margin, near, far: margin + near - far.detach(),
    ),
    broken("anchor-detached", "the anchor has no gradient", "TM-7",
        rows=lambda loss, a, p, n: (a.detach(), p, n),
    ),
    broken("negative-gradient-sign", "the gradient of the negative has the wrong sign", "TM-7",
        rows=lambda loss, a, p, n: (a, p, scaled(n, -1.0)),
    ),
    broken("positive-gradient-doubled", "the gradient of the positive is twice too large", "TM-7",
        rows=lambda loss, a, p, n: (a, scaled(p, 2.0), n),
    ),
    broken("gradient-a-thousandth-large", "gradients are 1.001 times too large", "TM-7", "CV-16",
        hinge=lambda loss, x: scaled(torch.relu(x), 1.001),
    ),
    broken("gradient-of-the-mean", "gradients are those of the mean though the sum was asked", "CV-2",
        reduce=_sum_as_mean,
    ),
    broken("cotangent-ignored", "the backward pass takes every cotangent for 1", "CV-1", "TM-7",
        hinge=lambda loss, x: applied(_Ones, torch.relu(x)),
    ),
    broken("count-with-gradient", "the denominator of mean_nonzero has a gradient", "CV-4",
        count=_mean_nonzero_quotient,
    ),
    broken("printed-slip", "with squared distance the gradient of the negative is 2(a - p)", "TM-7", "DI-12",
        excess=_printed_slip, seen="a printed source of the FaceNet gradient",
    ),
    broken("swap-forgets-positive", "where swap took d(p, n) the positive has no gradient from it", "TM-7",
        excess=_swap_forgets_positive,
    ),
    broken("root-not-differentiated",
        "for p other than 2 the gradient lacks the factor 1/p of the root", "DI-11",
        p_norm=_root_forgotten,
    ),
    broken("squared-gradient-halved", "squared_euclidean has gradient t", "DI-12",
        squared=lambda loss, x, y: scaled(TripletMargin.squared(loss, x, y), 0.5),
    ),
    broken("cosine-lengths-detached", "the gradient of cosine takes the lengths for constants", "DI-13",
        cosine=_detached_lengths, seen="normalisation under no_grad",
    ),
    broken("coarse-gradient", "gradients are rounded to about half their bits", "CV-16",
        rows=lambda loss, *rows: tuple(applied(_Coarse, row) for row in rows),
    ),
    broken("nan-at-coincident-rows", "the derivative of a bare root at 0 is infinite", "DI-15",
        p_norm=bare_root, seen="siamese-triplet; optax and MLX with eps 0; tf.norm",
    ),
    broken("cosine-clamped-lengths", "a zero row is divided by 1e-12, which is its gradient's scale", "DI-18",
        cosine=_clamped_lengths, seen="normalize and cosine_similarity of torch",
    ),
    broken("constant-root", "the backward pass of the root is a constant to autograd", "CV-14",
        root=constant_root, seen="autograd functions that save what they computed",
    ),
    broken("second-of-power-at-zero",
        "|t|^1.5 has an infinite second derivative at 0, and 0 times it is NaN", "CV-14",
        powers=_bare_power, ours=True,
    ),
    broken("second-of-square-at-zero",
        "where t is 0, t^2 stands in for |t|^p: the value is right, and the gradient, and the second derivative is not",
        "CV-14", powers=_squared_at_zero, ours=True,
    ),
    broken("hinge-at-zero", "the hinge has derivative 1 at 0", "CV-13",
        hinge=lambda loss, x: torch.where(x >= 0, x, 0 * x),
        seen="clamp of torch before 2.14, Paddle, TensorFlow Addons", ours=True,
    ),
    broken("hinge-split-at-zero", "the hinge has derivative 1/2 at 0", "CV-13",
        hinge=lambda loss, x: torch.maximum(x, torch.zeros_like(x)), seen="optax", ours=True,
    ),
    broken("swap-tie-split", "at a tie swap gives half the gradient to each distance", "TM-6",
        swapped=lambda loss, near, far, between: torch.minimum(far, between), seen="torch", ours=True,
    ),
    broken("swap-tie-taken", "at a tie swap takes d(p, n)", "TM-6",
        swapped=lambda loss, near, far, between: torch.where(between <= far, between, far), ours=True,
    ),
    broken("absolute-value-at-zero", "|t| has derivative 1 at 0", "DI-14", ours=True, powers=_step_at_zero),
    broken("infinity-tie-split", "with p = inf coordinates that tie share the gradient", "DI-16",
        largest=lambda loss, t: t.abs().amax(-1),
        seen="reductions of TensorFlow, JAX and MLX; amax of torch", ours=True,
    ),
    broken("infinity-tie-last",
        "with p = inf the last coordinate of those that tie has the gradient", "DI-16",
        largest=lambda loss, t: TripletMargin.largest(loss, t.flip(-1)), ours=True,
    ),
    broken("floor-at-equality", "exactly at the floor the gradient is that above it", "DI-17",
        low=lambda loss, total, floor: (total < floor) | (total <= 0), ours=True,
    ),
    broken("floor-clamped", "the floor is a clamp, whose derivative at equality is the framework's", "DI-17",
        p_norm=_clamped_floor, seen="open-reid, torchreid, fast-reid with torch before 2.14", ours=True,
    ),
    broken("floor-leaks", "below the floor the gradient is that above it", "DI-11", "DI-17",
        p_norm=_leaking_floor,
    ),
)  # fmt: skip
