"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import forward_mode, on_host
from lossproof.backends.torch.candidates import Sets
from lossproof.backends.torch.distances import both_unit_rows, row_distance, unit_rows
from lossproof.backends.torch.fused import settled

_BLOCK = 2**22  # numbers in a block of differences


def floored_distance(x: Tensor, y: Tensor, distance: str, floor: float) -> Tensor:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    return torch.where(d <= floor, floor, d) if floor else d


def mining_distances(sets: Sets, distance: str) -> Tensor:
    """Return numbers (B, M) in the order of the distances, from differences of rows; they have no gradient."""
    rows = sets.rows.detach()
    others = sets.candidates.detach() if sets.second else rows
    if distance == "cosine":
        return _cosine_distances(rows, others, sets.second)
    d = torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
    return d.clamp(max=torch.finfo(d.dtype).max)  # infinity stands for rows that are no candidates


def _cosine_distances(rows: Tensor, others: Tensor, second: bool) -> Tensor:
    """Return 1 - cos of every two rows, summed in float64, which no ambient switch makes coarser: CV-20."""
    wide = rows.dtype if rows.device.type == "mps" else torch.float64  # mps has no float64
    if second:
        own, theirs = (unit.to(wide) for unit in both_unit_rows(rows, others))
    else:
        own = theirs = unit_rows(rows).to(wide)
    return 1 - (own @ theirs.T).to(rows.dtype)


def poisoned(terms: Tensor, sets: Sets) -> Tensor:
    """Return NaN for the term of an anchor that holds NaN, or meets it: what takes part meets every anchor (PW-5)."""
    if on_host(terms) and settled(sets.rows) and (not sets.second or settled(sets.candidates)):
        return terms
    rows = sets.rows.detach().isnan().any(-1)
    candidates = sets.candidates.detach().isnan().any(-1) if sets.second else rows
    return terms.masked_fill(sets.unknown(rows, candidates), torch.nan)


class Finite(NamedTuple):
    """The sets with zeros in place of rows that hold no number, and which rows of either do: NaN would spread."""

    sets: Sets
    rows: Tensor  # (B,)
    candidates: Tensor  # (M,)

    def distances(self, distance: str, pairwise: str) -> Tensor:
        """Return the distances of each anchor from each candidate, (B, M): PW-6."""
        whole, others = self.sets.whole(self.rows, self.candidates)
        if not self.sets.second:
            return distance_matrix(self.sets.rows, whole, distance, pairwise)
        named = self.sets.at_named(others)
        distinct = whole if named is None else whole & ~named
        return distance_matrix(self.sets.rows, distinct, distance, pairwise, (self.sets.candidates, others))

    def unknown(self) -> Tensor:
        """Return which anchors hold, or meet, a row that is not finite, or name no candidate that there is."""
        rows = ~self.rows
        return self.sets.unknown(rows, ~self.candidates if self.sets.second else rows)


def finite(sets: Sets) -> Finite:
    """Return the sets without the rows that hold no number."""
    rows, rows_are = _finite(sets.rows)
    if not sets.second:
        return Finite(sets.of(rows), rows_are, rows_are)
    candidates, candidates_are = _finite(sets.candidates)
    return Finite(sets.of(rows, candidates), rows_are, candidates_are)


def _finite(rows: Tensor) -> tuple[Tensor, Tensor]:
    are = rows.detach().isfinite().all(-1)
    return rows.masked_fill(~are.unsqueeze(-1), 0.0), are


def distance_matrix(
    rows: Tensor, whole: Tensor, distance: str, pairwise: str, second: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Return the distances (B, B) of rows that are finite; `whole` says which take part as they were given: PW-6.

    With a second set and which of its rows are whole, (M, D) and (M,), they are those from its rows, (B, M), and
    `whole` says which rows are in the mean beside those.
    """
    others = rows if second is None else second[0]
    if distance == "cosine":
        return _cosine_distances(rows, others, second is not None)
    if pairwise == "direct":
        square = _squares_of_differences(rows, None if second is None else others)
    else:
        square = _gram(rows, whole, second)
    zero = square <= 0
    d = square.masked_fill(zero, 1.0).sqrt() if distance == "euclidean" else square
    largest = torch.finfo(rows.dtype).max / 4
    return d.masked_fill(zero, 0.0).clamp(max=largest).to(rows.dtype)  # DI-15, CV-19


def _gram(rows: Tensor, whole: Tensor, second: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return |x|^2 + |y|^2 - 2 x.y in float64, of rows from which their origin is subtracted: grade `centred`."""
    wide = rows if rows.device.type == "mps" else rows.double()
    limit = 0.25 * (torch.finfo(wide.dtype).max / rows.shape[-1]) ** 0.5
    if second is None:
        wide = (wide - origin(limit, (wide.detach(), whole))).clamp(-limit, limit)  # CV-19
        products = wide @ wide.T
        own = torch.eye(rows.shape[0], dtype=torch.bool, device=rows.device)
        squares = products.masked_fill(~own, 0.0).sum(1)  # torch 2.13, compiled, writes over a diagonal's view: CV-22
        return squares.unsqueeze(1) + squares - 2 * products
    others = second[0].to(wide.dtype)
    center = origin(limit, (others.detach(), second[1]), (wide.detach(), whole))
    wide, others = ((side - center).clamp(-limit, limit) for side in (wide, others))
    return (wide * wide).sum(1, keepdim=True) + (others * others).sum(1) - 2 * (wide @ others.T)


def origin(limit: float, *sides: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean of the rows that are `whole`, 4 bits of it seen from one of them: dyadic rows stay dyadic."""
    first = _first(*sides[-1])
    for rows, whole in sides[:-1]:
        first = torch.where(whole.any(), _first(rows, whole), first)
    total, number = [], []
    for rows, whole in sides:
        away = (rows - first).clamp(-limit, limit).masked_fill(~whole.unsqueeze(-1), 0.0)
        total.append(away.sum(0))
        number.append(whole.sum())
    mean = sum(total[1:], total[0]) / sum(number[1:], number[0]).clamp(min=1)
    carry = mean * (2.0**-3 / torch.finfo(first.dtype).eps + 1)  # Veltkamp's splitting
    return first + (carry - (carry - mean))


def _first(rows: Tensor, whole: Tensor) -> Tensor:
    """Return the first row that is whole, or any where none is: (1, D)."""
    return rows.index_select(0, whole.int().argmax().view(1))


class _Squares(torch.autograd.Function):
    """Sums of squared differences of every two rows, forward and backward in blocks: never B x M x D numbers.

    Without others the rows are compared with one another, and one pass backward finds what reaches either end.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, others: Tensor | None) -> Tensor:
        return _sums(rows, rows if others is None else others)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor | None], output: Tensor) -> None:
        rows, others = inputs
        ctx.second = others is not None
        ctx.save_for_backward(*((rows,) if others is None else (rows, others)))

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        if not ctx.second:
            (rows,) = ctx.saved_tensors
            return _pulled(weights + weights.T, rows, rows), None
        rows, others = ctx.saved_tensors
        return _pulled(weights, rows, others), _pulled(weights.T, others, rows)


def _pulled(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return what reaches each row of x from the squares to the rows of y, by their weights."""
    pairs = zip(blocks(x, y), blocks(weights, y), strict=True)
    return torch.cat([2 * (w.unsqueeze(-1) * _differences(some, y)).sum(1) for some, w in pairs])


def _squares_of_differences(rows: Tensor, others: Tensor | None) -> Tensor:
    if forward_mode():
        return _sums(rows, rows if others is None else others)
    squares: Tensor = _Squares.apply(rows, others)  # type: ignore[no-untyped-call]
    return squares


def _sums(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([_differences(some, y).square().sum(-1) for some in blocks(x, y)])


def blocks(x: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Split x (B, ...) so that a block compared with all rows has not many more numbers than a block may have."""
    numbers = rows.numel()
    if _exporting() or not isinstance(numbers, int):
        return (x,)  # the number of blocks would fix the number of rows
    split: tuple[Tensor, ...] = x.split(max(1, _BLOCK // max(numbers, 1)))  # type: ignore[no-untyped-call]
    return split


_exporting = getattr(torch.compiler, "is_exporting", bool)  # older than 2.7, torch does not say it


def _differences(some: Tensor, rows: Tensor) -> Tensor:
    limit = 0.25 * torch.finfo(rows.dtype).max ** 0.5
    return (some.unsqueeze(1) - rows).clamp(-limit, limit)  # CV-19
