"""The distances of a plain call in few passes: one product of rows as wide as they are, and two for the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import plain
from lossproof.backends.torch.candidates import Sets
from lossproof.backends.torch.pairwise import distance_matrix, origin
from lossproof.backends.torch.positives import positives
from lossproof.backends.torch.products import multiplied

_BLOCK = 2**20  # distances in a block: what is made of them on the way stays in the cache
_MOST = 128  # positives: with a pass for each, more are no faster than the formula


class Gram(NamedTuple):
    """The rows of a batch less their origin, and the positives of each in K columns."""

    rows: Tensor  # (B, D), with gradient
    centred: Tensor  # (B, D)
    whole: Tensor  # (B,), which take part
    distance: str
    column: Tensor  # (B, K), the anchor itself where there is no positive
    valid: Tensor  # (B, K)
    negatives: Tensor  # (B,), how many an anchor has, if it takes part

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the distances of some anchors at a time, (b, B), infinity to themselves and to what is masked out."""
        count = self.rows.shape[0]
        d = multiplied(self.centred, -2 * self.centred)
        squares = d.diagonal() / -2  # rounded as the products are, so that rows that coincide are at 0: DI-15
        others = squares.masked_fill(~self.whole, torch.inf)
        d.fill_diagonal_(torch.inf)
        step = max(1, _BLOCK // count)
        for some in (slice(start, start + step) for start in range(0, count, step)):
            block = d[some].add_(squares[some].unsqueeze(1)).add_(others).clamp_(min=0)
            yield some, block.sqrt_() if self.distance == "euclidean" else block

    def between(self, column: Tensor) -> Tensor:
        """Return the distances of the anchors from the rows at the columns (B, K), from their differences."""
        squares = self.centred.new_empty(column.shape)
        for k in range(column.shape[1]):  # B x K x D numbers at once may be many
            differences = self.centred - self.centred[column[:, k]]
            squares[:, k] = (differences * differences).sum(1)
        return squares.sqrt_() if self.distance == "euclidean" else squares

    def slopes(self, weights: Tensor, d: Tensor) -> Tensor:
        """Return in place of weights what a distance of the weight gives its rows: so many of their differences."""
        zero = None if d.numel() and d.amin() > 0 else d == 0
        weights = weights.mul_(2) if self.distance == "squared_euclidean" else weights.div_(d)
        return weights if zero is None else weights.masked_fill_(zero, 0.0)  # DI-15

    def known(self, values: Tensor, slopes: Tensor, column: Tensor | None = None) -> Tensor:
        """Return weighed sums of distances (B,), or distances (B, P) at some columns, with their gradient."""
        result: Tensor = _Known.apply(self.rows, values, slopes, column, self)  # type: ignore[no-untyped-call]
        return result


def gram(sets: Sets, distance: str, pairwise: str, max_positives: int | None) -> Gram | None:
    """Return what a plain call takes in place of the formula, or None where the formula is needed.

    Second sets need it, other distances, many positives, rows that hold no number, and rows so far apart or so near
    that the fourth power of a coordinate is no normal number of their dtype (CV-19): the formula is in float64.
    """
    if sets.second or distance == "cosine" or pairwise == "direct" or not plain(sets.rows, sets.labels):
        return None
    rows = sets.rows.detach()
    whole = torch.ones_like(sets.labels, dtype=torch.bool) if sets.takes_part is None else sets.takes_part.clone()
    limits = torch.finfo(rows.dtype)
    centred = rows - origin(limits.max**0.5, (rows, whole))
    centred.masked_fill_(~whole.unsqueeze(1), 0.0)
    if not limits.tiny**0.25 < float(centred.abs().max()) < limits.max**0.25:
        return None
    found = positives(sets, max_positives)
    if found.column.shape[1] > _MOST:
        return None
    order = (~found.valid).int().argsort(dim=1, stable=True)[:, :-1]  # the last one is the anchor itself, or nothing
    valid = found.valid.gather(1, order)
    itself = torch.arange(rows.shape[0], device=rows.device).unsqueeze(1)
    column = torch.where(valid, found.column.gather(1, order), itself)
    return Gram(sets.rows, centred, whole, distance, column, valid, whole.sum() - 1 - valid.sum(1))


class _Known(torch.autograd.Function):
    """Numbers that are known already, and what they give the rows; only plain calls come here, in reverse mode."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, values: Tensor, slopes: Tensor, column: Tensor | None, found: Gram) -> Tensor:
        ctx.save_for_backward(rows, slopes, column, found.centred, found.whole)
        ctx.distance = found.distance
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, slopes, column, centred, whole = ctx.saved_tensors
        if torch.is_grad_enabled():  # CV-14
            rows = rows.view_as(rows)  # whose hooks run once, at the end
            d = distance_matrix(rows, whole, ctx.distance, "gram")
            if column is None:
                d = (slopes * (d.detach() if ctx.distance == "euclidean" else 0.5) * d).sum(1)
            else:
                d = d.gather(1, column)
            return torch.autograd.grad(d, rows, gradient, create_graph=True)[0], None, None, None, None
        if column is not None:
            slopes = slopes.new_zeros(len(rows), len(rows)).scatter_add(1, column, slopes * gradient)
            gradient = torch.ones_like(slopes[:, 0])
        given = gradient.unsqueeze(1)
        own = slopes.sum(1, keepdim=True) * given + multiplied(slopes.T, given.mT)
        taken = given * multiplied(slopes, centred.T) + multiplied(slopes.T, (given * centred).mT)
        return own * centred - taken, None, None, None, None
