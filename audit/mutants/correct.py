"""A correct triplet margin loss in PyTorch, in small methods, each of which a mutant may replace.

Written from the clauses and apart from the backends, so that a slip there is not repeated here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant

DISTANCES = ("p_norm", "euclidean", "squared_euclidean", "cosine")
REDUCTIONS = ("none", "sum", "mean", "mean_nonzero")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Distance:
    """The options of a distance."""

    name: str
    p: float
    eps: float
    eps_at: str


class TripletMargin:
    """The loss; an instance is called like the function of the spec."""

    def __call__(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        *,
        margin: float = 1.0,
        soft_margin: bool = False,
        distance: str = "p_norm",
        p: float = 2.0,
        eps: float = 1e-6,
        eps_at: str = "difference",
        swap: bool = False,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of rows (..., D)."""
        self.check_number("margin", margin, 0.0)
        self.check_number("p", p, 1.0)
        self.check_number("eps", eps, 0.0)
        self.check_switch("soft_margin", soft_margin)
        self.check_soft(soft_margin, margin, 1.0)
        self.check_choice("distance", distance, DISTANCES)
        self.check_choice("eps_at", eps_at, ("difference", "root", "floor"))
        self.check_switch("swap", swap)
        self.check_choice("reduction", reduction, REDUCTIONS)
        options = Distance(distance, p, eps, eps_at)
        self.check_applies(options)
        rows = (anchor, positive, negative)
        self.check_dtypes(rows)
        self.check_shapes(rows)
        self.check_features(anchor)
        if mask is not None:
            mask = self.checked_mask(mask, anchor.shape[:-1])
        a, pos, neg = self.rows(*(self.prepare(row, mask) for row in rows))
        swaps, added = self.swaps(swap, soft_margin), self.added(margin, soft_margin)
        terms = self.term(self.excess(a, pos, neg, added, options, swaps), soft_margin)
        return self.reduce(terms, mask, self.over(reduction, soft_margin))

    # Arguments

    def check_number(self, name: str, value: float, low: float) -> None:
        """CV-28."""
        if not (value >= low and (value < inf or name == "p")):
            raise ValueError(f"{name} must be at least {low}, got {value}")

    def check_choice(self, name: str, value: str, known: Sequence[str]) -> None:
        """CV-27."""
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")

    def check_switch(self, name: str, value: bool) -> None:
        """CV-27."""
        if value not in (True, False):
            raise ValueError(f"{name} must be True or False, got {value!r}")

    def check_soft(self, soft: bool, margin: float, default: float) -> None:
        """BH-4, SH-12, TM-11."""
        if soft and margin != default:
            raise ValueError(f"margin must be left alone with soft_margin, got {margin}")

    def check_applies(self, options: Distance) -> None:
        """DI-20, DI-21."""
        if options.name != "p_norm" and (options.p, options.eps, options.eps_at) != (2.0, 1e-6, "difference"):
            raise ValueError(f"p, eps and eps_at do not apply to {options.name}")
        if options.p == inf and options.eps > 0 and options.eps_at != "difference":
            raise ValueError(f"p = inf has no sum for eps_at={options.eps_at!r}")

    def check_dtypes(self, rows: Sequence[Tensor]) -> None:
        """CV-26."""
        if any(row.dtype not in FLOATS or row.dtype != rows[0].dtype for row in rows):
            raise TypeError(f"rows must share a float dtype, got {[row.dtype for row in rows]}")

    def check_shapes(self, rows: Sequence[Tensor]) -> None:
        """CV-24."""
        if any(row.shape != rows[0].shape or not row.ndim for row in rows):
            raise ValueError(f"rows must share a shape (..., D), got {[tuple(row.shape) for row in rows]}")

    def check_features(self, row: Tensor) -> None:
        """CV-25."""
        if row.shape[-1] == 0:
            raise ValueError("rows must have at least one feature, got none")

    def checked_mask(self, mask: Tensor, units: torch.Size) -> Tensor:
        """CV-29, CV-30."""
        if mask.dtype != torch.bool or mask.shape != units:
            raise ValueError(f"mask must be bool {tuple(units)}, got {mask.dtype} {tuple(mask.shape)}")
        return mask

    def check_wide(self, rows: Tensor, *tables: Tensor) -> None:
        """CV-26: a table may be wider than the rows."""
        self.check_dtypes((rows,))
        for t in tables:
            if t.dtype not in FLOATS or torch.promote_types(rows.dtype, t.dtype) != t.dtype:
                raise TypeError(f"tables must have dtype {rows.dtype} or a wider one, got {t.dtype}")

    def widened(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return rows and tables in the widest of their dtypes."""
        wide = functools.reduce(torch.promote_types, (row.dtype for row in rows))
        return tuple(row.to(wide) for row in rows)

    def arithmetic(self, dtype: torch.dtype) -> torch.dtype:
        """CV-17, CV-18."""
        return torch.float64 if dtype == torch.float64 else torch.float32

    def prepare(self, row: Tensor, mask: Tensor | None) -> Tensor:
        """Return rows in the dtype of the arithmetic, masked ones as zeros: CV-8, CV-9."""
        row = row.to(self.arithmetic(row.dtype))
        return row if mask is None else row.masked_fill(~mask.unsqueeze(-1), 0.0)

    def rows(self, a: Tensor, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three rows; here a mutant meddles with one of them."""
        return a, pos, neg

    # Distances

    def distance(self, x: Tensor, y: Tensor, options: Distance) -> Tensor:
        """Return the distance of each row of x from the same row of y."""
        if options.name == "cosine":
            return self.cosine(x, y)
        if options.name == "squared_euclidean":
            return self.squared(x, y)
        if options.name == "euclidean":
            return self.euclidean(x, y)
        offsets = {"difference": 0.0, "root": 0.0, "floor": 0.0} | {options.eps_at: options.eps}
        t = self.difference(x, y, offsets["difference"])
        if options.p == inf:
            return self.largest(t)
        return self.p_norm(t, options.p, offsets["root"], offsets["floor"])

    def euclidean(self, x: Tensor, y: Tensor) -> Tensor:
        """DI-9."""
        return self.p_norm(x - y, 2.0, 0.0, 0.0)

    def squared(self, x: Tensor, y: Tensor) -> Tensor:
        """DI-7, DI-12."""
        return ((x - y) * (x - y)).sum(-1)

    def difference(self, x: Tensor, y: Tensor, eps: float) -> Tensor:
        """DI-4."""
        return x - y + eps

    def largest(self, t: Tensor) -> Tensor:
        """DI-3, DI-16."""
        size = t.abs()
        return size.gather(-1, size.detach().argmax(-1, keepdim=True)).squeeze(-1)

    def p_norm(self, t: Tensor, p: float, root: float, floor: float) -> Tensor:
        """Return max(sum |t|^p + root, floor)^(1/p): DI-1, DI-5, DI-6; gradient 0 at t = 0: DI-15, DI-17."""
        unit = self.unit(t, p, (root + floor) ** (1 / p))
        total = self.total(self.powers(t / unit[..., None], p)) + (root ** (1 / p) / unit) ** p
        low = self.low(total, (floor ** (1 / p) / unit) ** p)
        return torch.where(low, floor ** (1 / p), unit * self.root(total.masked_fill(low, 1.0), p))

    def unit(self, t: Tensor, p: float, least: float) -> Tensor:
        """Return a scale of each row at which powers neither overflow nor underflow, without gradient: DI-19."""
        largest = t.detach().abs().amax(-1)
        return torch.ones_like(largest) if p in (1, 2) else largest.clamp(min=max(least, torch.finfo(t.dtype).tiny))

    def powers(self, t: Tensor, p: float) -> Tensor:
        """Return |t|^p; where t is 0 with derivatives 0: DI-14, CV-14."""
        if p == 1:
            return t.abs()
        if p == 2:
            return t * t
        zero = t.detach() == 0
        return t.abs().masked_fill(zero, 1.0).pow(p).masked_fill(zero, 0.0)

    def total(self, powers: Tensor) -> Tensor:
        """Return the sum over the features."""
        return powers.sum(-1)

    def low(self, total: Tensor, floor: Tensor) -> Tensor:
        """Return where the floor, or 0, has the word."""
        return total <= floor

    def root(self, total: Tensor, p: float) -> Tensor:
        """Return the p-th root of what is positive."""
        return total if p == 1 else total.sqrt() if p == 2 else total.pow(1 / p)

    def cosine(self, x: Tensor, y: Tensor) -> Tensor:
        """DI-8, DI-10, DI-13, DI-18."""
        xx, yy = (x * x).sum(-1), (y * y).sum(-1)
        zero = (xx == 0) | (yy == 0)
        u, w = (row / s.masked_fill(zero, 1.0).sqrt()[..., None] for row, s in ((x, xx), (y, yy)))
        cosine = self.inner(u, w)
        return 1 - torch.where(zero, cosine.detach(), cosine)

    def inner(self, u: Tensor, w: Tensor) -> Tensor:
        """Return the inner product of each row of u with the same row of w."""
        return (u * w).sum(-1)

    # Terms

    def excess(self, a: Tensor, pos: Tensor, neg: Tensor, margin: float, options: Distance, swap: bool) -> Tensor:
        """Return margin + d(a, p) - d': TM-1, TM-4."""
        near, far = self.distance(a, pos, options), self.distance(a, neg, options)
        if swap:
            far = self.swapped(near, far, self.distance(pos, neg, options))
        return self.gap(margin, near, far)

    def swapped(self, near: Tensor, far: Tensor, between: Tensor) -> Tensor:
        """TM-5, TM-6."""
        return torch.where(between < far, between, far)

    def gap(self, margin: float, near: Tensor, far: Tensor) -> Tensor:
        """TM-1."""
        return margin + near - far

    def swaps(self, swap: bool, soft: bool) -> bool:
        """Return whether d(p, n) may take the place of d(a, n): TM-5, TM-11."""
        return swap

    def added(self, margin: float, soft: bool) -> float:
        """Return what is added to the difference of the distances: SH-12, TM-11."""
        return 0.0 if soft else margin

    def term(self, x: Tensor, soft: bool) -> Tensor:
        """Return a term: SH-12, TM-11."""
        return self.soft(x) if soft else self.hinge(x)

    def soft(self, x: Tensor) -> Tensor:
        """BH-4, SH-12, TM-11."""
        return torch.nn.functional.softplus(x, threshold=40.0)

    def over(self, reduction: str, soft: bool) -> str:
        """Return the reduction; with a soft margin every term is positive: SH-12, TM-11."""
        return "mean" if soft and reduction == "mean_nonzero" else reduction

    def hinge(self, x: Tensor) -> Tensor:
        """TM-10, CV-13."""
        return torch.relu(x)

    # Reductions

    def reduce(self, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
        """CV-1 to CV-6."""
        if mask is not None:
            terms = self.masked(terms, mask)
        if reduction == "none":
            return terms
        return terms.sum() if reduction == "sum" else terms.sum() / self.count(terms, mask, reduction)

    def masked(self, terms: Tensor, mask: Tensor) -> Tensor:
        """Return terms with 0 where the mask is False."""
        return terms.masked_fill(~mask, 0.0)

    def count(self, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
        """Return the denominator of a mean, at least 1."""
        counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
        if reduction == "mean_nonzero":
            counted = counted & ~(terms.detach() <= 0)
        return counted.sum().clamp(min=1)


def narrowed(loss: TripletMargin, rows: Tensor, *tables: Tensor) -> tuple[Tensor, ...]:
    """Return tables in the dtype of the rows, wider or not."""
    return (rows, *(t.to(rows.dtype) for t in tables))


def with_default(correct: type[TripletMargin], **defaults: Any) -> Callable[..., Tensor]:
    """Return the call of a class with other defaults; its signature still says the old ones."""

    @functools.wraps(correct.__call__)
    def call(self: TripletMargin, *args: Any, **given: Any) -> Tensor:
        return correct.__call__(self, *args, **(defaults | given))

    return call


CORRECT = TripletMargin()


def broken(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    """Return a mutant: the correct loss with some of its methods replaced."""
    unknown = [method for method in methods if not hasattr(TripletMargin, method)]
    if unknown:
        raise ValueError(f"{name}: TripletMargin has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (TripletMargin,), methods)(), seen, ours)
