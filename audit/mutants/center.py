"""Broken center losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import REDUCTIONS, TripletMargin, narrowed, with_default
from audit.mutants.cross_entropy import INTEGERS


class Center(TripletMargin):
    """The loss; arguments and reductions are those of the correct triplet margin loss."""

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        centers: Tensor,
        *,
        factor: float = 0.5,
        floor: float = 0.0,
        ceiling: float = inf,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of a batch (B, D)."""
        self.check_number("factor", factor, 0.0)
        self.check_number("floor", floor, 0.0)
        self.check_bounds(floor, ceiling)
        self.check_choice("reduction", reduction, REDUCTIONS[:3])
        self.check_batch(embeddings, labels)
        self.check_tables(embeddings, centers)
        if mask is not None:
            mask = self.checked_mask(mask, embeddings.shape[:1])
            labels = labels.masked_fill(~mask, 0)
        x, c = self.widened(self.prepare(embeddings, mask), centers.to(self.arithmetic(centers.dtype)))
        labels = self.in_range(labels, len(c))
        most = torch.finfo(x.dtype).max  # a number that the dtype does not hold is no error
        floor, ceiling = min(floor, most), ceiling if ceiling == inf else min(ceiling, most)
        terms = self.terms(self.square(x, c, labels, mask), factor, floor, ceiling)
        return self.reduce(terms, mask, reduction)

    def check_bounds(self, floor: float, ceiling: float) -> None:
        """CN-10."""
        if not ceiling >= floor:
            raise ValueError(f"ceiling must be at least {floor}, got {ceiling}")

    def check_batch(self, rows: Tensor, labels: Tensor) -> None:
        """CV-25, CV-26, CV-31, CV-34."""
        self.check_dtypes((rows,))
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise ValueError(f"rows must have shape (B, D), got {tuple(rows.shape)}")
        if labels.dtype not in INTEGERS:
            raise TypeError(f"labels must be integers, got {labels.dtype}")
        if labels.shape != rows.shape[:1]:
            raise ValueError(f"labels must have shape (B,), got {tuple(labels.shape)}")

    def check_tables(self, rows: Tensor, *tables: Tensor) -> None:
        """CV-26, CV-34."""
        self.check_wide(rows, *tables)
        if any(t.ndim != 2 or t.shape[1] != rows.shape[1] for t in tables) or not len(tables[0]):
            raise ValueError(f"tables must have shape (C, D), got {[tuple(t.shape) for t in tables]}")

    def in_range(self, labels: Tensor, classes: int) -> Tensor:
        """CV-33."""
        legal, wrong = ((labels >= 0) & (labels < classes)).all(), f"labels must be in [0, {classes})"
        if torch.compiler.is_compiling():
            torch._assert_async(legal, wrong)
        elif not legal:
            raise ValueError(wrong)
        return labels

    def square(self, x: Tensor, c: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """Return the squared distance of each row from its center: CN-1, CN-3, CN-5, CN-6."""
        t = self.bounded(x - self.own(c, labels))
        if mask is not None:
            t = self.met(t, mask)
        return self.squared(t, torch.zeros_like(t))

    def met(self, t: Tensor, mask: Tensor) -> Tensor:
        """Return the differences of rows that take part."""
        return t.masked_fill(~mask.unsqueeze(1), 0.0)

    def own(self, c: Tensor, labels: Tensor) -> Tensor:
        """Return the center of each label."""
        return c[labels.long()]

    def bounded(self, t: Tensor) -> Tensor:
        """CV-19."""
        limit = 0.25 * torch.finfo(t.dtype).max ** 0.5
        return t.clamp(-limit, limit)

    def terms(self, square: Tensor, factor: float, floor: float, ceiling: float) -> Tensor:
        """CN-2, CN-9."""
        return factor * self.kept(square, floor, ceiling)

    def kept(self, square: Tensor, floor: float, ceiling: float) -> Tensor:
        """Return squared distances within the bounds."""
        return square.masked_fill(square <= floor, floor).masked_fill(square >= ceiling, ceiling)


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(Center, method)]
    if unknown:
        raise ValueError(f"{name}: Center has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (Center,), methods)(), seen, ours, "center_loss")


def _gram(loss: Center, x: Tensor, c: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
    own = c[labels]
    square = (x * x).sum(1) + (own * own).sum(1) - 2 * (x * own).sum(1)
    return square if mask is None else square.masked_fill(~mask, 0.0)


def _every_class(loss: Center, square: Tensor, factor: float, floor: float, ceiling: float) -> Tensor:
    return factor * (Center.kept(loss, square, floor, ceiling) + 2 * floor)  # what two masked classes add


def _one_hot(loss: Center, c: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(labels.long(), len(c)).to(c.dtype) @ c


def _plus_one(loss: Center, c: Tensor, labels: Tensor) -> Tensor:
    """Return centers whose gradient is divided by 1 + n, as the update of eq. 4 is."""
    share = 1 / (1 + torch.bincount(labels, minlength=len(c)).to(c.dtype)).unsqueeze(1)
    return (c.detach() + share * (c - c.detach()))[labels]


def _averaged(loss: Center, c: Tensor, labels: Tensor) -> Tensor:
    share = 1 / torch.bincount(labels, minlength=len(c)).clamp(min=1).to(c.dtype).unsqueeze(1)
    return (c.detach() + share * (c - c.detach()))[labels]


def _first_block(loss: Center, c: Tensor, labels: Tensor) -> Tensor:
    return torch.cat([c[:64], c[64:].detach()])[labels.long()]


def _through(loss: Center, square: Tensor, floor: float, ceiling: float) -> Tensor:
    return square + (square.clamp(floor, ceiling) - square).detach()


MUTANTS: dict[str, Mutant] = table(
    _mutant("cn-no-half", "the factor is left out", "CN-1", "CN-4", seen="S15 under the name of S14", terms=lambda s, q, f, lo, hi: s.kept(q, lo, hi)),
    _mutant("cn-half-always", "the factor is 1/2 whatever is asked for", "CN-1", terms=lambda s, q, f, lo, hi: 0.5 * s.kept(q, lo, hi)),
    _mutant("cn-default-factor", "the factor is 1 where it is not given", "CN-4", __call__=with_default(Center, factor=1.0)),
    _mutant("cn-not-squared", "the distance is not squared", "CN-1", squared=lambda s, x, y: TripletMargin.squared(s, x, y).clamp(min=1e-30).sqrt()),
    _mutant("cn-mean-of-features", "the squared distance is a mean over the features", "CN-1", seen="mean squared error of a framework", squared=lambda s, x, y: TripletMargin.squared(s, x, y) / x.shape[1]),
    _mutant("cn-wrong-center", "rows meet the center after their own", "CN-1", "CN-3", own=lambda s, c, y: c.roll(-1, 0)[y]),
    _mutant("cn-normalised", "centers are normalised", "CN-1", own=lambda s, c, y: torch.nn.functional.normalize(c, dim=1)[y]),
    _mutant("cn-bounds-after-factor", "floor and ceiling act on the term", "CN-2", terms=lambda s, q, f, lo, hi: s.kept(f * q, lo, hi)),
    _mutant("cn-no-floor", "the floor is left out", "CN-2", kept=lambda s, q, lo, hi: Center.kept(s, q, 0.0, hi)),
    _mutant("cn-no-ceiling", "the ceiling is left out", "CN-2", kept=lambda s, q, lo, hi: Center.kept(s, q, lo, inf)),
    _mutant("cn-floor-added", "the floor is added", "CN-2", kept=lambda s, q, lo, hi: Center.kept(s, q + lo, 0.0, hi)),
    _mutant("cn-floor-of-root", "the floor acts on the distance", "CN-2", kept=lambda s, q, lo, hi: Center.kept(s, q, lo * lo, hi)),
    _mutant("cn-every-class", "classes that are not the row's add the floor too", "CN-3", seen="pytorch-center-loss, which clamps masked zeros", terms=_every_class),
    _mutant("cn-gram", "the distance is made of squared norms and a product", "CN-5", seen="pytorch-center-loss, strong re-identification baseline", square=_gram),
    _mutant("cn-one-hot", "centers are picked by a product with one-hot rows", "CN-6", seen="TensorFlow ports", own=_one_hot),
    _mutant("cn-rows-detached", "the rows get no gradient", "CN-7", prepare=lambda s, row, m: TripletMargin.prepare(s, row.detach(), m)),
    _mutant("cn-gradient-half", "the gradient lacks the 2 of the square", "CN-7", "CN-8", squared=lambda s, x, y: TripletMargin.squared(s, x.detach(), y) + 0.5 * (TripletMargin.squared(s, x, y) - TripletMargin.squared(s, x, y).detach())),
    _mutant("cn-gradient-near", "the gradient is 1.001 times too large", "CN-7", "CN-8", "CV-16", squared=lambda s, x, y: TripletMargin.squared(s, x.detach(), y) + 1.001 * (TripletMargin.squared(s, x, y) - TripletMargin.squared(s, x, y).detach())),
    _mutant("cn-centers-detached", "the centers get no gradient", "CN-8", "CN-7", seen="ports of S14 that keep the update alone", own=lambda s, c, y: c.detach()[y]),
    _mutant("cn-one-plus-n", "the gradient of a center is divided by 1 + n", "CN-8", seen="S14 and S15 mixed", own=_plus_one),
    _mutant("cn-averaged", "the gradient of a center is averaged over its rows", "CN-8", own=_averaged),
    _mutant("cn-first-block", "the centers of the classes from 64 on get no gradient", "CN-8", "CN-7", own=_first_block),
    _mutant("cn-through", "the gradient goes through floor and ceiling", "CN-9", kept=_through),
    _mutant("cn-clamp-bounds", "at a bound the gradient is that of the distance", "CN-9", seen="torch.clamp up to 2.13", ours=True, kept=lambda s, q, lo, hi: q.masked_fill(q < lo, lo).masked_fill(q > hi, hi)),
    _mutant("cn-ceiling-below", "a ceiling below the floor is accepted", "CN-10", check_bounds=lambda s, lo, hi: None),
    _mutant("cn-labels-unchecked", "labels of any shape and type are taken", "CV-31", "CV-34", check_batch=lambda s, x, y: None, in_range=lambda s, y, n: y.long()),
    _mutant("cn-table-broadcast", "centers of width 1 are broadcast", "CV-34", check_tables=lambda s, x, c: s.check_wide(x, c)),
    _mutant("cn-labels-clamped", "labels are moved into the range", "CV-33", in_range=lambda s, y, n: y.clamp(0, n - 1)),
    _mutant("cn-labels-wrap", "negative labels count from the end", "CV-33", seen="indexing of numpy and torch", in_range=lambda s, y, n: Center.in_range(s, torch.where(y < 0, y % n, y), n)),
    _mutant("cn-count-all", "the mean counts rows that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("cn-mask-times", "the mask is a factor", "CV-8", "CV-9", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), met=lambda s, t, m: t * m.unsqueeze(1), masked=lambda s, t, m: t * m),
    _mutant("cn-nan-swallowed", "NaN counts as 0", "CV-10", squared=lambda s, x, y: TripletMargin.squared(s, x, y).nan_to_num(0.0)),
    _mutant("cn-any-dtype", "centers that are narrower than the rows are taken", "CV-26", check_wide=lambda s, x, *t: s.check_dtypes((x,)) or [s.check_dtypes((c,)) for c in t]),
    _mutant("cn-narrowed", "centers are cast down to the dtype of the rows", "CV-15", "CV-16", seen="autocast, and x.to(y.dtype)", widened=narrowed),
    _mutant("cn-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
)  # fmt: skip

CORRECT = Center()
__all__ = ["CORRECT", "MUTANTS"]
