"""The positives of each anchor in a few columns (spec/pairwise.md)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import on_host
from lossproof.backends.torch.candidates import Sets
from lossproof.spec.arguments import check_most_positives


class Positives(NamedTuple):
    """The positives of each anchor in K columns, and which anchors have more (PW-8)."""

    column: Tensor  # (B, K); once they are sorted, M where there is none
    valid: Tensor  # (B, K)
    crowded: Tensor  # (B,)


def sorted_positives(d: Tensor, sets: Sets, max_positives: int | None) -> Positives:
    """Return the positives of each anchor, nearest first; only they are sorted, never whole rows of distances."""
    found = positives(sets, max_positives)
    distances = d.detach().gather(1, found.column).masked_fill(~found.valid, torch.inf)
    sorting = distances.argsort(dim=1, stable=True)
    valid = found.valid.gather(1, sorting)
    return Positives(found.column.gather(1, sorting).masked_fill(~valid, d.shape[1]), valid, found.crowded)


def positives(sets: Sets, max_positives: int | None) -> Positives:
    """Return the positives of each anchor in the order of their labels, any candidate where there is none."""
    count, device = sets.candidates.shape[0], sets.labels.device
    names, mask = sets.candidate_labels, sets.candidates_take_part
    order = names.argsort(stable=True)
    last = torch.full((), count, device=device)
    grouped = names[order]
    if mask is not None:
        order = order[(~mask[order]).int().argsort(stable=True)]  # those that take part first
        last = mask.sum()
        grouped = names[order].masked_fill(torch.arange(count, device=device) >= last, torch.iinfo(torch.int64).max)
    first = torch.searchsorted(grouped, sets.labels)
    after = torch.searchsorted(grouped, sets.labels, right=True).minimum(last)
    if sets.takes_part is not None:
        after = torch.where(sets.takes_part, after, first)
    itself = sets.named if sets.second else torch.arange(count, device=device)
    found = after - first - _own(sets)
    most = _most(found, count if sets.second else count - 1, max_positives)
    width = _least(most + 1, count) if sets.second else most + 1  # one of them may be the anchor itself
    slots = first.unsqueeze(1) + torch.arange(width, device=device)
    index = order[slots.clamp(max=count - 1)]
    valid = slots < after.unsqueeze(1)
    if itself is not None:
        valid = valid & (index != itself.unsqueeze(1))
    crowded = torch.zeros_like(found, dtype=torch.bool) if max_positives is None else found > most
    return Positives(index, valid, crowded)


def _own(sets: Sets) -> Tensor | int:
    """Return how many of the candidates that take part and have the anchor's label are the anchor itself."""
    if not sets.second:
        return 1  # a row that is masked out has one less than none
    if sets.named is None:
        return 0
    named = sets.named.clamp(min=0)
    own = (sets.named >= 0) & (sets.candidate_labels[named] == sets.labels)
    return (own if sets.candidates_take_part is None else own & sets.candidates_take_part[named]).long()


def _most(found: Tensor, bound: int, max_positives: int | None) -> int:
    """Return the number of columns that hold the positives: read from labels on the host, else the most possible."""
    most = bound
    if on_host(found):
        most = max(int(found.max()), 0)
        if max_positives is not None:
            check_most_positives(most, max_positives)  # PW-8
    if max_positives is None:
        return most
    return _least(most, int(max_positives))


def _least(a: int, b: int) -> int:
    symbolic = isinstance(a, torch.SymInt) or isinstance(b, torch.SymInt)
    least: int = torch.sym_min(a, b) if symbolic else min(a, b)  # type: ignore[no-untyped-call]  # min() fixes B
    return least


def columns(values: Tensor, index: Tensor) -> Tensor:
    """Return values (B, M) at the columns `index`, and 0 at column M."""
    return torch.nn.functional.pad(values, (0, 1)).gather(1, index)


def spread_out(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Return an array (B, M) with values at the columns `index`, those at column M dropped; `count` is M."""
    return values.new_zeros(values.shape[0], count + 1).scatter(1, index, values)[:, :count]
