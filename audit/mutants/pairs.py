"""What the correct mined triplet losses share, to be broken method by method: brute force over all pairs."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant
from audit.mutants.correct import REDUCTIONS, Distance, TripletMargin

DISTANCES = ("euclidean", "squared_euclidean", "cosine")
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


class Mined(TripletMargin):
    """Arguments, pairs and distances of a batch; distances and reductions are those of the triplet margin loss."""

    def checked(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None, margin: float, distance: str, reduction: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, labels and mask: CV-25 to CV-34, PW-1."""
        self.check_number("margin", margin, 0.0)
        self.check_choice("distance", distance, DISTANCES)
        self.check_choice("reduction", reduction, REDUCTIONS)
        self.check_dtypes((embeddings,))
        if embeddings.ndim != 2:
            raise ValueError(f"embeddings must be (B, D), got {tuple(embeddings.shape)}")
        self.check_features(embeddings)
        self.check_labels(labels, len(embeddings))
        if mask is not None:
            mask = self.checked_mask(mask, embeddings.shape[:1])
        rows = self.prepare(embeddings, mask)
        return rows, labels, torch.ones_like(labels, dtype=torch.bool) if mask is None else mask

    def check_labels(self, labels: Tensor, count: int) -> None:
        """CV-31."""
        if labels.dtype not in INTEGERS or labels.shape != (count,):
            raise ValueError(f"labels must be integers ({count},), got {labels.dtype} {tuple(labels.shape)}")

    def check_most(self, positive: Tensor, most: Any) -> None:
        """PW-8."""
        if most is None:
            return
        if not isinstance(most, Integral) or isinstance(most, bool) or most < 1:
            raise ValueError(f"max_positives must be a positive integer, got {most!r}")
        if positive.numel() and int(positive.sum(-1).max()) > most:
            raise ValueError(f"an anchor has more than {most} positives")

    def same(self, labels: Tensor) -> Tensor:
        """CV-32."""
        return labels[:, None] == labels

    def pairs(self, labels: Tensor, mask: Tensor, itself: bool) -> tuple[Tensor, Tensor]:
        """Return positives and negatives: PW-2."""
        same, both = self.same(labels), mask[:, None] & mask
        others = self.others(len(labels))
        return same & both & (torch.ones_like(others) if itself else others), ~same & both

    def others(self, count: int) -> Tensor:
        """Return which rows are another row than the anchor."""
        return ~torch.eye(count, dtype=torch.bool)

    def matrix(self, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
        """Return all distances: PW-1, PW-3, PW-4, PW-6, PW-7."""
        shape = (len(rows), *rows.shape)
        d = self.distance(rows[:, None].expand(shape), rows.expand(shape), Distance(distance, 2.0, 1e-6, "difference"))
        lowest = self.floored(floor, distance)
        return torch.where(d <= lowest, lowest, d) if floor else d

    def floored(self, floor: float, distance: str) -> float:
        """PW-3."""
        return floor**0.5 if distance == "euclidean" else floor

    def picked(self, d: Tensor, among: Tensor, *, largest: bool) -> Tensor:
        """Return the largest or smallest candidate of each row, the lowest index of those that tie; NaN comes first."""
        fill = -torch.inf if largest else torch.inf
        candidates = d.detach().masked_fill(~among, fill)
        return self.first(candidates, largest=largest)

    def first(self, candidates: Tensor, *, largest: bool) -> Tensor:
        """BH-8, SH-8."""
        return candidates.argmax(-1) if largest else candidates.argmin(-1)

    def poison(self, terms: Tensor, unknown: Tensor) -> Tensor:
        """PW-5, BA-7, SH-10."""
        return terms.masked_fill(unknown, torch.nan)


def gram(loss: Mined, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    """Return distances by |x|^2 + |y|^2 - 2 x.y of the rows as they stand."""
    if distance == "cosine":
        return Mined.matrix(loss, rows, distance, floor)
    squares = (rows * rows).sum(-1)
    d = torch.relu(squares[:, None] + squares - 2 * rows @ rows.T)
    if distance == "squared_euclidean":
        return d
    zero = d <= 0
    return d.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def normalised(loss: Mined, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    """Return the distances of rows of unit length."""
    rows = rows / rows.detach().norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return Mined.matrix(loss, rows, distance, floor)


def scaled(share: float) -> Callable[[Tensor], Tensor]:
    """Return a function that keeps a value and makes its gradient `share` times as large."""
    return lambda x: x.detach() + share * (x - x.detach())


def half_count(correct: type[Mined], divisor: str) -> dict[str, Callable[..., Any]]:
    """Return methods that count the terms of a mean in the dtype of the embeddings."""

    def counted(loss: Any, *given: Any) -> Tensor:
        exact: Tensor = getattr(correct, divisor)(loss, *given)
        return exact.to(loss.given)

    return {"__call__": _knowing(correct), divisor: counted}


def half_labels(correct: type[Mined]) -> dict[str, Callable[..., Any]]:
    """Return methods that compare labels in the dtype of half embeddings."""

    def same(loss: Any, labels: Tensor) -> Tensor:
        return correct.same(loss, labels.to(loss.given) if loss.given.itemsize == 2 else labels)

    return {"__call__": _knowing(correct), "same": same}


def _knowing(correct: type[Mined]) -> Callable[..., Any]:
    """Return a call that keeps the dtype of the embeddings."""

    def call(loss: Any, *, embeddings: Tensor, **given: Any) -> Any:
        loss.given = embeddings.dtype
        return correct.__call__(loss, embeddings=embeddings, **given)  # type: ignore[call-arg]

    return call


def maker(correct: type[Mined], loss: str) -> Callable[..., Mutant]:
    """Return a function that makes a mutant of a loss from methods."""

    def mutant(
        name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
    ) -> Mutant:
        unknown = [method for method in methods if not hasattr(correct, method)]
        if unknown:
            raise ValueError(f"{name}: {correct.__name__} has no {', '.join(unknown)}")
        return Mutant(name, bug, clauses, type("Broken", (correct,), methods)(), seen, ours, loss)

    return mutant
