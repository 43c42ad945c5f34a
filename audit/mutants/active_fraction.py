"""Broken fractions of active triplets, each the correct one with a method replaced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.pairs import Mined


class Fraction(Mined):
    """`batch_all_active_fraction`, anchor by anchor."""

    MARGIN = 1.0

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        margin: float | None = None,
        distance: str = "euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the fraction of a batch."""
        margin = self.MARGIN if margin is None else margin
        if isinstance(margin, bool | str):
            raise TypeError(f"margin must be a number, got {margin!r}")
        self.check_choice("pairwise", pairwise, ("gram", "direct"))
        given = self.checked(embeddings, labels, mask, margin, distance, "mean")
        positive, negative = self.pairs(given[1], given[2], False)
        self.check_most(positive, max_positives)
        rows = self.apart(given[0])
        d = self.matrix(rows, distance)
        gaps = [margin + own[p][:, None] - own[n] for own, p, n in zip(d, positive, negative, strict=True)]
        active, every = (self.counted([int(f(gap)) for gap in gaps], embeddings) for f in (self.active, torch.numel))
        share = torch.tensor(self.share(active, self.divisor(every, gaps)), dtype=rows.dtype)
        share = self.poison(share, rows.isnan().any() & (every > 0))
        found: Tensor = self.typed(share) + self.trace(given[0])
        return found

    def apart(self, rows: Tensor) -> Tensor:
        """BA-14."""
        return rows.detach()

    def active(self, gap: Tensor) -> Any:
        """BA-10."""
        return (gap > 0).sum()

    def counted(self, counts: list[int], embeddings: Tensor) -> Any:
        """BA-15."""
        return sum(counts)

    def divisor(self, every: Any, gaps: list[Tensor]) -> Any:
        """BA-10."""
        return every

    def share(self, active: Any, every: Any) -> Any:
        """BA-12."""
        return active / every if every else 0.0

    def typed(self, share: Tensor) -> Tensor:
        """BA-15."""
        return share

    def trace(self, rows: Tensor) -> Any:
        """BA-14."""
        return 0.0


def _mutant(name: str, bug: str, *clauses: str, seen: str = "", **methods: Any) -> Mutant:
    unknown = [method for method in methods if not hasattr(Fraction, method)]
    if unknown:
        raise ValueError(f"{name}: Fraction has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (Fraction,), methods)(), seen, loss="batch_all_active_fraction")


def _in_their_dtype(loss: Fraction, counts: list[int], embeddings: Tensor) -> Any:
    return float(torch.tensor(sum(counts), dtype=embeddings.dtype))


MUTANTS: dict[str, Mutant] = table(
    _mutant("bf-at-margin", "a triplet at the margin counts as active", "BA-10", active=lambda s, gap: (gap >= 0).sum()),
    _mutant("bf-hard", "a triplet is active where its negative is nearer than its positive", "BA-10", active=lambda s, gap: (gap > 1).sum()),
    _mutant("bf-cube", "the divisor is the cube of the rows", "BA-10", seen="the mean of a B x B x B mask", divisor=lambda s, every, gaps: len(gaps) ** 3),
    _mutant("bf-anchors", "the divisor is the number of anchors", "BA-10", divisor=lambda s, every, gaps: sum(gap.numel() > 0 for gap in gaps)),
    _mutant("bf-inactive", "the fraction is that of the triplets that are not active", "BA-10", active=lambda s, gap: (gap <= 0).sum()),
    _mutant("bf-masked", "rows that are masked out are counted", "BA-11", pairs=lambda s, labels, mask, itself: Mined.pairs(s, labels, torch.ones_like(mask), itself)),
    _mutant("bf-masked-negatives", "rows that are masked out are negatives", "BA-11", pairs=lambda s, labels, mask, itself: (Mined.pairs(s, labels, mask, itself)[0], ~s.same(labels) & mask[:, None])),
    _mutant("bf-nothing-nan", "without a triplet the fraction is 0/0", "BA-12", share=lambda s, active, every: active / every if every else torch.nan),
    _mutant("bf-nothing-one", "without a triplet the fraction is 1", "BA-12", share=lambda s, active, every: active / every if every else 1.0),
    _mutant("bf-nan-alone", "NaN makes the fraction NaN without a triplet, too", "BA-12", trace=lambda s, rows: rows.detach().sum() * 0.0),
    _mutant("bf-nan-active", "a triplet with NaN counts as active", "BA-13", seen="a hinge whose NaN is not 0", active=lambda s, gap: (~(gap <= 0)).sum(), poison=lambda s, share, unknown: share),
    _mutant("bf-nan-inactive", "a triplet with NaN counts as not active", "BA-13", seen="comparisons with NaN", poison=lambda s, share, unknown: share),
    _mutant("bf-gradient", "the rows leave a gradient", "BA-14", trace=lambda s, rows: (rows - rows.detach()).nan_to_num().sum()),
    _mutant("bf-half-count", "triplets are counted in the dtype of the embeddings", "BA-15", counted=_in_their_dtype),
    _mutant("bf-single-count", "triplets are added in float32 one by one", "BA-15", counted=lambda s, counts, rows: min(sum(counts), 2**24)),
    _mutant("bf-single", "the fraction of float64 rows is float32", "BA-15", "BA-10", typed=lambda s, share: share.float()),
    _mutant("bf-margin", "the margin is 0.05 where it is not given", "BA-16", MARGIN=0.05),
    _mutant("bf-one-distance", "every distance is euclidean", "PW-1", "BA-10", matrix=lambda s, rows, distance, floor=0.0: Mined.matrix(s, rows, "euclidean", floor)),
    _mutant("bf-any-bound", "every max_positives is taken", "PW-8", check_most=lambda s, positive, most: None),
)  # fmt: skip

CORRECT = Fraction()
__all__ = ["CORRECT", "MUTANTS"]
