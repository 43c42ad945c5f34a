"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import forward_mode, on_host
from lossproof.backends.torch.distances import row_distance
from lossproof.spec.arguments import check_most_positives

_BLOCK = 2**22  # numbers in a block of differences


def candidates(labels: Tensor, mask: Tensor | None, *, include_self: bool = False) -> tuple[Tensor, Tensor]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    same = labels.unsqueeze(1) == labels  # CV-32
    positive, negative = same, ~same
    if not include_self:
        positive = same & ~torch.eye(labels.shape[0], dtype=torch.bool, device=labels.device)
    if mask is not None:
        both = mask.unsqueeze(1) & mask
        positive, negative = positive & both, negative & both
    return positive, negative


def floored_distance(x: Tensor, y: Tensor, distance: str, floor: float) -> Tensor:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    return torch.where(d <= floor, floor, d) if floor else d


def mining_distances(rows: Tensor, distance: str) -> Tensor:
    """Return numbers (B, B) in the order of the distances, from differences of rows; they have no gradient."""
    rows = rows.detach()
    if distance == "cosine":
        return 1 - _products(units(rows))
    d = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return d.clamp(max=torch.finfo(d.dtype).max)  # infinity stands for rows that are no candidates


def units(rows: Tensor) -> Tensor:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = rows.detach().abs().amax(-1, keepdim=True)
    rows = rows / largest.masked_fill(largest < torch.finfo(rows.dtype).tiny, 1.0)
    square = (rows * rows).sum(-1, keepdim=True)
    zero = square == 0
    return (rows / square.masked_fill(zero, 1.0).sqrt()).masked_fill(zero, 0.0)


def _products(rows: Tensor) -> Tensor:
    """Return the inner products of every two rows, summed in float64, which no ambient switch makes coarser: CV-20."""
    if rows.device.type == "mps":  # has no float64
        return (rows @ rows.T).to(rows.dtype)
    wide = rows.double()
    return (wide @ wide.T).to(rows.dtype)


def poisoned(terms: Tensor, rows: Tensor) -> Tensor:
    """Return NaN for every term if a row that takes part holds NaN: each is a candidate of every anchor (PW-5)."""
    return terms.masked_fill(rows.detach().isnan().any(), torch.nan)


def distance_matrix(rows: Tensor, whole: Tensor, distance: str, pairwise: str) -> Tensor:
    """Return the distances (B, B) of rows that are finite; `whole` says which take part as they were given: PW-6."""
    if distance == "cosine":
        return 1 - _products(units(rows))
    square = _squares_of_differences(rows) if pairwise == "direct" else _gram(rows, whole)
    zero = square <= 0
    d = square.masked_fill(zero, 1.0).sqrt() if distance == "euclidean" else square
    largest = torch.finfo(rows.dtype).max / 4
    return d.masked_fill(zero, 0.0).clamp(max=largest).to(rows.dtype)  # DI-15, CV-19


def _gram(rows: Tensor, whole: Tensor) -> Tensor:
    """Return |x|^2 + |y|^2 - 2 x.y in float64, of rows from which their origin is subtracted: grade `centred`."""
    wide = rows if rows.device.type == "mps" else rows.double()
    limit = 0.25 * (torch.finfo(wide.dtype).max / rows.shape[-1]) ** 0.5
    wide = (wide - _origin(wide.detach(), whole, limit)).clamp(-limit, limit)  # CV-19
    products = wide @ wide.T
    own = torch.eye(rows.shape[0], dtype=torch.bool, device=rows.device)
    squares = products.masked_fill(~own, 0.0).sum(1)  # compiled, torch 2.13 writes over a view of the diagonal: CV-22
    return squares.unsqueeze(1) + squares - 2 * products


def _origin(rows: Tensor, whole: Tensor, limit: float) -> Tensor:
    """Return the mean of the rows that take part, 4 bits of it seen from one of them: dyadic rows stay dyadic."""
    first = rows.index_select(0, whole.int().argmax().view(1))
    away = (rows - first).clamp(-limit, limit).masked_fill(~whole.unsqueeze(-1), 0.0)
    mean = away.sum(0) / whole.sum().clamp(min=1)
    carry = mean * (2.0**-3 / torch.finfo(rows.dtype).eps + 1)  # Veltkamp's splitting
    return first + (carry - (carry - mean))


class _Squares(torch.autograd.Function):
    """Sums of squared differences of every two rows, forward and backward in blocks: never B x B x D numbers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        return _sums(rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        both = weights + weights.T
        pairs = zip(blocks(rows, rows), blocks(both, rows), strict=True)
        return torch.cat([2 * (w.unsqueeze(-1) * _differences(some, rows)).sum(1) for some, w in pairs])


def _squares_of_differences(rows: Tensor) -> Tensor:
    if forward_mode():
        return _sums(rows)
    squares: Tensor = _Squares.apply(rows)  # type: ignore[no-untyped-call]
    return squares


def _sums(rows: Tensor) -> Tensor:
    return torch.cat([_differences(some, rows).square().sum(-1) for some in blocks(rows, rows)])


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


class Positives(NamedTuple):
    """The positives of each anchor in K columns, sorted by their distance, and which anchors have more (PW-8)."""

    column: Tensor  # (B, K), B where there is none
    valid: Tensor  # (B, K)
    crowded: Tensor  # (B,)


def sorted_positives(d: Tensor, labels: Tensor, mask: Tensor | None, max_positives: int | None) -> Positives:
    """Return the positives of each anchor, nearest first; only they are sorted, never whole rows of distances."""
    count, device = d.shape[0], d.device
    order = labels.argsort(stable=True)
    last = torch.full((), count, device=device)
    grouped = labels[order]
    if mask is not None:
        order = order[(~mask[order]).int().argsort(stable=True)]  # those that take part first
        last = mask.sum()
        grouped = labels[order].masked_fill(torch.arange(count, device=device) >= last, torch.iinfo(torch.int64).max)
    first = torch.searchsorted(grouped, labels)
    after = torch.searchsorted(grouped, labels, right=True).minimum(last)
    found = after - first - 1
    if mask is not None:
        found = found.masked_fill(~mask, -1)
    most = _most(found, max_positives)
    slots = first.unsqueeze(1) + torch.arange(most + 1, device=device)
    index = order[slots.clamp(max=count - 1)]
    valid = (slots < (first + found + 1).unsqueeze(1)) & (index != torch.arange(count, device=device).unsqueeze(1))
    distances = d.detach().gather(1, index).masked_fill(~valid, torch.inf)
    sorting = distances.argsort(dim=1, stable=True)
    valid = valid.gather(1, sorting)
    index = index.gather(1, sorting).masked_fill(~valid, count)
    crowded = torch.zeros_like(found, dtype=torch.bool) if max_positives is None else found > most
    return Positives(index, valid, crowded)


def _most(found: Tensor, max_positives: int | None) -> int:
    """Return the number of columns that hold the positives: read from labels on the host, else the most possible."""
    count = found.shape[0]
    most = count - 1
    if on_host(found):
        most = max(int(found.max()), 0)
        if max_positives is not None:
            check_most_positives(most, max_positives)  # PW-8
    if max_positives is None:
        return most
    least = torch.sym_min if isinstance(most, torch.SymInt) else min  # min() would fix the number of rows
    return least(most, int(max_positives))


def columns(values: Tensor, index: Tensor) -> Tensor:
    """Return values (B, B) at the columns `index`, and 0 at column B."""
    return torch.nn.functional.pad(values, (0, 1)).gather(1, index)


def spread_out(values: Tensor, index: Tensor) -> Tensor:
    """Return an array (B, B) with values at the columns `index`, those at column B dropped."""
    count = values.shape[0]
    return values.new_zeros(count, count + 1).scatter(1, index, values)[:, :count]
