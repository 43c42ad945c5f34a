"""The two sums of exponentials of the circle loss, by their formula, and in few passes where a call is plain.

The passes are in place, and what is kept for the gradient is one number a pair: its share of a sum times its weight.
The gradient is then two products of matrices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import plain
from lossproof.backends.torch.candidates import Sets
from lossproof.backends.torch.distances import both_unit_rows, unit_rows
from lossproof.backends.torch.fused import derived, settled
from lossproof.backends.torch.pairwise import finite
from lossproof.backends.torch.positives import Positives, positives
from lossproof.backends.torch.products import multiplied, products

Number = float | Tensor
_WIDEST = 8  # columns of positives, or an eighth of the batch: more would cost more than they save


class Sums(NamedTuple):
    """What the term of an anchor is made of."""

    logarithms: Tensor  # (B,), of the sum over the positives and of that over the negatives, added up
    both: Tensor  # (B,), whether an anchor has a positive and a negative
    spoilt: Tensor  # (B,), whether it is or meets a row that holds no number


def sums_of(sets: Sets, w: Tensor | None, margin: Number, gamma: Number, *, detach_weights: bool) -> Sums:
    """Return the sums of each anchor; `w` weighs the anchors."""
    plainly = detach_weights and not sets.second and sets.rows.shape[0] and plain(sets.rows)
    if plainly and isinstance(margin, float) and isinstance(gamma, float):
        found, unit = positives(sets, None), unit_rows(sets.rows)
        if found.column.shape[1] <= max(_WIDEST, unit.shape[0] // 8) and settled(unit):
            return _in_place(unit, found, sets.takes_part, margin, gamma)
    if sets.second:
        known = finite(sets)  # no NaN comes from a row but those of its terms: CV-42, PW-12
        s = _cosines(*both_unit_rows(known.sets.rows, known.sets.candidates))
        spoilt = known.unknown()
    else:
        rows = sets.rows if w is None else torch.where((w != 0).any(), sets.rows, 0.0)  # CV-42: nor from one in no term
        s = _cosines(unit_rows(rows))
        spoilt = s.detach().isnan().any(1)
    positive, negative = sets.pairs()  # CI-2, PW-9
    logarithms = _logarithms(s, positive, negative, margin, gamma, detach_weights=detach_weights)
    return Sums(logarithms, positive.any(1) & negative.any(1), spoilt)


def _cosines(unit: Tensor, others: Tensor | None = None) -> Tensor:
    """Return the products of every two rows of length 1, (B, M), or (B, B) without others (CI-3)."""
    wide = unit.dtype if unit.device.type == "mps" else torch.float64  # mps has no float64, and no TF32 either
    rows = unit.to(wide)  # autocast and TF32 reach every float32 product (CV-20)
    return (rows @ (rows if others is None else others.to(wide)).T).to(unit.dtype)


def _logarithms(
    s: Tensor, positive: Tensor, negative: Tensor, margin: Number, gamma: Number, *, detach_weights: bool
) -> Tensor:
    weight = torch.relu(torch.where(positive, 1 + margin - s, s + margin))  # CI-4, CI-11
    if detach_weights:
        weight = weight.detach()  # CI-10
    exponent = gamma * (weight * torch.where(positive, 1 - margin - s, s - margin))
    return _log_sum_exp(exponent, positive) + _log_sum_exp(exponent, negative)


def _log_sum_exp(exponent: Tensor, chosen: Tensor) -> Tensor:
    """Return the logarithm of the sum of the chosen exponentials of each row, 0 where none is chosen (CI-7)."""
    some = chosen.any(1)
    known = exponent.detach().masked_fill(~chosen, -torch.inf)
    largest = (known.amax(1) if known.shape[1] else known.sum(1)).masked_fill(~some, 0.0)
    total = (exponent - largest.unsqueeze(1)).masked_fill(~chosen, -torch.inf).exp().sum(1)
    return largest + total.masked_fill(~some, 1.0).log()


def _in_place(unit: Tensor, found: Positives, mask: Tensor | None, margin: float, gamma: float) -> Sums:
    """Return the sums of rows (B, D) of length 1 that all hold numbers."""
    column, valid, _ = found
    itself = torch.arange(unit.shape[0], device=unit.device).unsqueeze(1)
    column = torch.where(valid, column, itself)
    same = valid.sum(1)
    others = (same.shape[0] if mask is None else mask.sum()) - 1 - same
    absent = None if mask is None else ~mask
    logarithms: Tensor = _LogSums.apply(unit, column, valid, absent, margin, gamma)  # type: ignore[no-untyped-call]
    return Sums(logarithms, (same > 0) & (others > 0), torch.zeros_like(same, dtype=torch.bool))


class _LogSums(torch.autograd.Function):
    """The two logarithms of each row of `unit`, added up.

    `column` has the positives, and the row itself where they are not `valid`, which is so at least once: these are no
    negatives, and nor are rows that are `absent`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        unit: Tensor,
        column: Tensor,
        valid: Tensor,
        absent: Tensor | None,
        margin: float,
        gamma: float,
    ) -> Tensor:
        s = multiplied(unit, unit)  # CI-3
        near = s.gather(1, column)
        pull = (1 + margin - near).relu_().mul_(gamma)  # CI-4, CI-11
        of_positives, share = _summed((pull * (1 - margin - near)).masked_fill_(~valid, -torch.inf))
        share.mul_(pull).neg_()

        push = (s + margin).relu_().mul_(gamma)
        exponent = s.sub_(margin).mul_(push)
        exponent.scatter_(1, column, -torch.inf)
        if absent is not None:
            exponent.masked_fill_(absent, -torch.inf)
        of_negatives, slope = _summed(exponent)
        slope.mul_(push).scatter_add_(1, column, share)  # CI-10: the weights are constants
        ctx.save_for_backward(unit, slope, column, valid, absent)  # nothing of the caller's, which may change till then
        ctx.margin, ctx.gamma = margin, gamma
        return of_positives + of_negatives

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        unit, slope, column, valid, absent = ctx.saved_tensors
        nothing = [None] * 5
        if torch.is_grad_enabled():
            positive = torch.zeros_like(slope, dtype=torch.bool).scatter_(1, column, valid)
            negative = torch.ones_like(positive).scatter_(1, column, False)
            pairs = positive, negative if absent is None else negative & ~absent

            def formula(unit: Tensor) -> Tensor:
                return _logarithms(_cosines(unit), *pairs, ctx.margin, ctx.gamma, detach_weights=True)

            return *derived(formula, (unit,), ctx.needs_input_grad, gradient), *nothing
        own = gradient.unsqueeze(1)
        to_anchors = products(slope, unit.mT) * own
        return to_anchors + products(slope.mT, (own * unit).mT), *nothing


def _summed(exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithm of the sum of exponentials of each row, and in place the share of each; 0 for no sum."""
    largest = exponent.amax(1, keepdim=True)
    largest.masked_fill_(largest == -torch.inf, 0.0)
    total = exponent.sub_(largest).exp_().sum(1, keepdim=True)
    total.masked_fill_(total == 0, 1.0)
    return (largest + total.log()).squeeze(1), exponent.div_(total)
