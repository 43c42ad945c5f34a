"""The hardest candidates of each anchor: screened by products, decided by differences (spec/batch_hard.md).

The screen is ``|y|^2 - 2 x.y`` of rows from which a mean is subtracted. With u = eps / 2, r = |x| and R >= |y| it is
off by at most (D + 3) u (r + R)^2: D + 1 for the sums, 2 for the subtraction. The squares of distances from differences
are off by (D + 4) u (r + R)^2, so that what they call nearest lies no more than twice both above the least number of
the screen. The band of 5 (D + 8) u (r + R)^2 has a quarter left for terms of second order.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.candidates import Sets
from lossproof.backends.torch.products import multiplied

_ANCHORS, _NUMBERS = 512, 2**24  # of the screen at a time, at most
_BAND = 5.0  # in units of (D + 8) u (r + R)^2
_FEW = 8  # candidates an anchor within its bands: comparing more of them costs more than all distances


class Picks(NamedTuple):
    """Which anchors have a positive and a negative, the farthest positive and the nearest negative; (B,) each."""

    anchors: Tensor
    hardest: Tensor
    nearest: Tensor


def screened(sets: Sets, *, include_self: bool) -> Picks:
    """Return the picks of the distances from differences: BH-1, BH-2, BH-8. It reads numbers on the host.

    With a second set no anchor is one of its own positives here.
    """
    classes, screen = _Classes.of(sets), _Screen.of(sets)
    rows, others = sets.rows.detach(), sets.candidates.detach()
    step = max(1, min(_ANCHORS, _NUMBERS // len(others)))
    found = []
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        block = _Block(rows[some], others, sets.candidates_take_part, *classes.table(sets, some, include_self))
        picked = None if screen is None else block.screened(screen.order(some), screen.band[some])
        found.append((block.positive.any(1), *(block.compared() if picked is None else picked)))
    positive, hardest, nearest = map(torch.cat, zip(*found, strict=True))
    anchors = positive & classes.negative(sets)  # BH-2
    return Picks(anchors if sets.takes_part is None else anchors & sets.takes_part, hardest, nearest)


class _Classes(NamedTuple):
    """The candidates that take part, by label and index, and where the label of each anchor begins and ends there."""

    ordered: Tensor  # and one that stands for none
    first: Tensor  # (B,)
    end: Tensor  # (B,)

    @classmethod
    def of(cls, sets: Sets) -> _Classes:
        """Sort the candidates: masked ones would lengthen the class of the label that they are given."""
        part, names = sets.candidates_take_part, sets.candidate_labels
        kept = None if part is None else part.nonzero().squeeze(1)
        ordered, places = (names if kept is None else names[kept]).sort(stable=True)  # CV-32
        places = places if kept is None else kept[places]
        first, end = (torch.searchsorted(ordered, sets.labels, right=right) for right in (False, True))
        return cls(torch.cat([places, places.new_zeros(1)]), first, end)

    def table(self, sets: Sets, some: slice, include_self: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the class of each anchor, (b, K), which of it are positives, and which candidates are no negatives.

        A shorter class is filled up with its last candidate, and an empty one, whose anchor has no term, with any.
        """
        first, end = (ends[some].unsqueeze(1) for ends in (self.first, self.end))
        columns = first + torch.arange(max(1, int((end - first).max())), device=first.device)
        own, positive = self.ordered[torch.minimum(columns, end - 1)], columns < end
        if sets.named is not None:  # PW-10
            named = sets.named[some].unsqueeze(1)
            barred = torch.cat([own, torch.where(named < 0, own[:, :1], named)], 1)
            return own, positive & (own != named), barred
        if not sets.second and not include_self:  # BH-3, PW-2
            positive &= own != torch.arange(some.start, some.start + len(own), device=own.device).unsqueeze(1)
        return own, positive, own

    def negative(self, sets: Sets) -> Tensor:
        """Return which anchors have a negative, (B,)."""
        others = len(self.ordered) - 1 - (self.end - self.first)
        if sets.named is None:
            return others > 0
        part = sets.candidates_take_part
        foreign = sets.candidate_labels[sets.named] != sets.labels
        named = sets.named >= 0 if part is None else part[sets.named] & (sets.named >= 0)
        return others > (named & foreign).long()


class _Block(NamedTuple):
    """Some anchors, and what they are compared with."""

    rows: Tensor  # (b, D)
    others: Tensor  # (M, D)
    part: Tensor | None  # (M,): which candidates take part
    own: Tensor  # (b, K): candidates of the anchor's label
    positive: Tensor  # (b, K): which of them are positives
    barred: Tensor  # (b, K) or (b, K + 1): candidates that are no negatives

    def compared(self) -> tuple[Tensor, Tensor]:
        """Return the farthest positive and the nearest negative by the distances of all pairs."""
        d = _distances(self.rows, self.others)
        hardest = d.gather(1, self.own).masked_fill_(~self.positive, -inf).argmax(1)  # BH-1, BH-8
        d = d.scatter_(1, self.barred, inf)
        return self._of_class(hardest), (d if self.part is None else d.masked_fill_(~self.part, inf)).argmin(1)

    def screened(self, screen: Tensor, band: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the same by the screen (b, M), which is lost, or None where its bands hold too many candidates."""
        far = screen.gather(1, self.own).neg_().masked_fill_(~self.positive, inf)
        hardest = _least(far, band, lambda anchors, places: -self._between(anchors, self.own[anchors, places]))
        nearest = _least(screen.scatter_(1, self.barred, inf), band, self._between)
        return None if hardest is None or nearest is None else (self._of_class(hardest), nearest)

    def _of_class(self, places: Tensor) -> Tensor:
        return self.own.gather(1, places.unsqueeze(1)).squeeze(1)

    def _between(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        return _distances(self.rows[anchors].unsqueeze(1), self.others[candidates].unsqueeze(1)).view(-1)


class _Screen(NamedTuple):
    """Centred rows, the squares |y|^2 of the candidates (infinity: takes no part), and the bands of the anchors."""

    rows: Tensor  # (B, D)
    others: Tensor  # (M, D)
    squares: Tensor  # (M,)
    band: Tensor  # (B, 1)

    @classmethod
    def of(cls, sets: Sets) -> _Screen | None:
        """Return the screen, or None where squares overflow, underflow or are no numbers: CV-19.

        So it does where the dtype does not hold each index of a candidate.
        """
        rows, others, part = sets.rows.detach(), sets.candidates.detach(), sets.candidates_take_part
        mean = others.sum(0) / (len(others) if part is None else part.sum())  # masked rows are zeros
        y = _without(mean, others, part)
        x = _without(mean, rows, sets.takes_part) if sets.second else y
        squares = (y * y).sum(1)
        sizes = (x * x).sum(1) if sets.second else squares
        numbers, largest = torch.finfo(y.dtype), float(squares.max())
        limit = numbers.max**0.5
        if not (numbers.tiny**0.5 < largest < limit and float(sizes.max()) < limit) or len(y) > 1 / numbers.eps:
            return None
        band = _BAND * (y.shape[1] + 8) * numbers.eps / 2 * (sizes.sqrt() + largest**0.5).square()
        squares = squares if part is None else squares.masked_fill(~part, inf)
        return cls(x, y, squares, band.unsqueeze(1))

    def order(self, some: slice) -> Tensor:
        """Return the screen of some anchors, (b, M)."""
        s = multiplied(self.rows[some], self.others)
        return torch.sub(self.squares, s, alpha=2, out=s)


def _without(mean: Tensor, rows: Tensor, part: Tensor | None) -> Tensor:
    return rows - mean if part is None else (rows - mean).masked_fill_(~part.unsqueeze(1), 0.0)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the distances of rows from rows by differences; a number is the same whatever else is asked."""
    d = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return d.clamp_(max=torch.finfo(d.dtype).max)  # infinity stands for rows that are no candidates


def _least(screen: Tensor, band: Tensor, between: Callable[[Tensor, Tensor], Tensor]) -> Tensor | None:
    """Return the least column of each row, the first of those that tie, or None where the bands hold too many.

    Infinity stands for no candidate. A candidate alone in its band is proven; others are compared by `between`. All is
    done in place and in the dtype of the screen, of which passes are ten times as fast as of booleans.
    """
    bound = (screen.amin(1, keepdim=True) + band).clamp_(max=torch.finfo(screen.dtype).max)
    within = screen.le_(bound)
    number = within.sum(1)
    if float(number.sum()) > _FEW * len(number):
        return None
    columns = torch.arange(1, screen.shape[1] + 1, dtype=screen.dtype, device=screen.device)
    chosen = within.mul_(columns).amax(1).long().clamp_(min=1) - 1
    undecided = (number > 1).nonzero().squeeze(1)
    if len(undecided):
        rows, places = within[undecided].nonzero().unbind(1)
        d = between(undecided[rows], places)
        least = d.new_full((len(undecided),), inf).scatter_reduce_(0, rows, d, "amin")
        tied = d == least[rows]
        last = chosen.new_full((len(undecided),), screen.shape[1])
        chosen[undecided] = last.scatter_reduce_(0, rows[tied], places[tied], "amin")  # BH-8
    return chosen
