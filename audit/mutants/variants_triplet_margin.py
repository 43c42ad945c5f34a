"""Correct triplet margin losses, written differently on purpose: a judge that accuses one of them is wrong.

Another algorithm, another order of summation, wider arithmetic, another subgradient where there is no derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from audit.mutants.correct import Distance, TripletMargin
from lossproof.conformance.host.implementation import Implementation


def _in_order(powers: Tensor) -> Tensor:
    """Add the features one after the other."""
    total = torch.zeros_like(powers[..., 0])
    for feature in powers.unbind(-1):
        total = total + feature
    return total


def _from_the_end(powers: Tensor) -> Tensor:
    return _in_order(powers.flip(-1))


def _compensated(powers: Tensor) -> Tensor:
    """Add as Kahan does; the compensation carries no gradient."""
    total, lost = torch.zeros_like(powers[..., 0]), torch.zeros_like(powers[..., 0])
    for feature in powers.unbind(-1):
        corrected = feature - lost
        following = total + corrected
        lost = ((following - total) - corrected).detach()
        total = following
    return total


def _one_at_zero(loss: TripletMargin, x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, torch.where(torch.isnan(x), x, torch.zeros_like(x)))


def _halves(loss: TripletMargin, x: Tensor) -> Tensor:
    return torch.maximum(x, torch.zeros_like(x))


def _smaller(loss: TripletMargin, near: Tensor, far: Tensor, between: Tensor) -> Tensor:
    return torch.minimum(far, between)


def _shared_maximum(loss: TripletMargin, t: Tensor) -> Tensor:
    return t.abs().amax(-1)


def _library_norm(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    if root or floor:
        return TripletMargin.p_norm(loss, t, p, root, floor)
    norm: Tensor = torch.linalg.vector_norm(t, ord=p, dim=-1)
    return norm


def library_cosine(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    """Return the cosine distance by `normalize`; a pair with a zero row has no gradient."""
    u, w = functional.normalize(x, dim=-1, eps=1e-37), functional.normalize(y, dim=-1, eps=1e-37)
    zero = (x == 0).all(-1) | (y == 0).all(-1)
    inner = (u * w).sum(-1)
    return 1 - torch.where(zero, inner.detach(), inner)


def chord(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    """Return half the squared distance of the unit rows; a pair with a zero row has no gradient."""
    u, w = functional.normalize(x, dim=-1, eps=1e-37), functional.normalize(y, dim=-1, eps=1e-37)
    zero = (x == 0).all(-1) | (y == 0).all(-1)
    half = ((u - w) ** 2).sum(-1) / 2
    return torch.where(zero, 1 + 0 * half.detach(), half)


def _expanded(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    """Return |x|^2 + |y|^2 - 2 x.y, kept from below 0."""
    return ((x * x).sum(-1) + (y * y).sum(-1) - 2 * (x * y).sum(-1)).clamp(min=0)


def _row_by_row(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    if a.ndim != 2 or not len(a):
        return TripletMargin.excess(loss, a, p, n, margin, options, swap)
    rows = [TripletMargin.excess(loss, *triplet, margin, options, swap) for triplet in zip(a, p, n, strict=True)]
    return torch.stack(rows)


def _fma(loss: TripletMargin, margin: float, near: Tensor, far: Tensor) -> Tensor:
    return (near - far) + margin


def _variant(name: str, grade: str = "direct", limits: dict[str, Any] | None = None, **methods: Any) -> Implementation:
    loss = type("Variant", (TripletMargin,), methods)()
    return Implementation({"triplet_margin_loss": loss}, name=name, grade=grade, limits=limits or {})


VARIANTS = {
    "features_in_order": _variant("features in order", total=lambda s, powers: _in_order(powers)),
    "features_from_the_end": _variant("features from the end", total=lambda s, powers: _from_the_end(powers)),
    "compensated_sums": _variant("compensated sums", total=lambda s, powers: _compensated(powers)),
    "hinge_by_clamp": _variant("derivative 1 of the hinge at 0", hinge=_one_at_zero),
    "hinge_by_maximum": _variant("derivative 1/2 of the hinge at 0", hinge=_halves),
    "swap_by_minimum": _variant("gradient shared at a swap tie", swapped=_smaller),
    "largest_shared": _variant("gradient shared among the largest coordinates", largest=_shared_maximum),
    "library_norm": _variant("vector_norm", p_norm=_library_norm),
    "library_cosine": _variant("normalize", cosine=library_cosine),
    "chord": _variant("cosine by the chord of unit rows", cosine=chord),
    "row_by_row": _variant("row by row", excess=_row_by_row),
    "margin_last": _variant("margin added last", gap=_fma),
    "expanded_square": _variant("expanded square", "normwise", {"distance": ["squared_euclidean"]}, squared=_expanded),
}
