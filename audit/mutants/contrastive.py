"""Broken contrastive losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import DISTANCES, REDUCTIONS, Distance, TripletMargin, with_default
from audit.mutants.triplet_margin_seldom import clamped_cosine


class Contrastive(TripletMargin):
    """The loss; arguments, distances and reductions are those of the correct triplet margin loss."""

    def __call__(  # type: ignore[override]
        self,
        x1: Tensor,
        x2: Tensor,
        dissimilar: Tensor,
        *,
        margin: float = 1.0,
        factor: float = 0.5,
        distance: str = "p_norm",
        p: float = 2.0,
        eps: float = 0.0,
        eps_at: str = "difference",
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of pairs (..., D)."""
        for name, value, low in (("margin", margin, 0.0), ("factor", factor, 0.0), ("p", p, 1.0), ("eps", eps, 0.0)):
            self.check_number(name, value, low)
        self.check_choice("distance", distance, DISTANCES)
        self.check_choice("eps_at", eps_at, ("difference", "root", "floor"))
        self.check_choice("reduction", reduction, REDUCTIONS)
        options = Distance(distance, p, eps, eps_at)
        self.check_applies(options if distance == "p_norm" or eps else Distance(distance, p, 1e-6, eps_at))
        self.check_dtypes((x1, x2))
        self.check_shapes((x1, x2))
        self.check_features(x1)
        dissimilar = self.flags(dissimilar, x1)
        if mask is not None:
            mask = self.checked_mask(mask, x1.shape[:-1])
        x, y = self.prepare(x1, mask), self.prepare(x2, mask)
        terms = self.terms(self.pair(x, y, options), dissimilar, margin, factor)
        return self.reduce(terms, mask, reduction)

    def flags(self, dissimilar: Tensor, x: Tensor) -> Tensor:
        """CO-9."""
        return self.checked_mask(dissimilar, x.shape[:-1])

    def pair(self, x: Tensor, y: Tensor, options: Distance) -> Tensor:
        """Return d(x1, x2)."""
        return self.distance(x, y, options)

    def terms(self, d: Tensor, apart: Tensor, margin: float, factor: float) -> Tensor:
        """CO-1, CO-2, CO-3."""
        return factor * torch.where(apart, self.push(d, margin), self.pull(d))

    def pull(self, d: Tensor) -> Tensor:
        """CO-1."""
        return d * d

    def push(self, d: Tensor, margin: float) -> Tensor:
        """CO-2."""
        return torch.relu(margin - d) ** 2


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(Contrastive, method)]
    if unknown:
        raise ValueError(f"{name}: Contrastive has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (Contrastive,), methods)(), seen, ours, "contrastive_loss")


def _times(share: float) -> Callable[..., Tensor]:
    """Return a `terms` whose value is right and whose gradient is `share` times as large."""

    def terms(loss: Contrastive, d: Tensor, apart: Tensor, margin: float, factor: float) -> Tensor:
        found = Contrastive.terms(loss, d, apart, margin, factor)
        return found.detach() + share * (found - found.detach())

    return terms


def _bare_root(loss: Contrastive, total: Tensor, floor: Tensor) -> Tensor:
    return total < floor


MUTANTS: dict[str, Mutant] = table(
    _mutant("co-labels-swapped", "1 is taken for a similar pair", "CO-1", "CO-2", seen="second answer of the source of S3", terms=lambda s, d, apart, m, f: Contrastive.terms(s, d, ~apart, m, f)),
    _mutant("co-minus", "the second part has a minus sign", "CO-2", seen="second answer of the source of S3", push=lambda s, d, m: -(torch.relu(m - d) ** 2)),
    _mutant("co-linear", "distances are not squared", "CO-1", "CO-2", seen="pytorch-metric-learning", pull=lambda s, d: d, push=lambda s, d, m: torch.relu(m - d)),
    _mutant("co-pull-linear", "the distance of a similar pair is not squared", "CO-1", pull=lambda s, d: d),
    _mutant("co-push-linear", "the hinge is not squared", "CO-2", push=lambda s, d, m: torch.relu(m - d)),
    _mutant("co-margin-of-square", "the margin is compared with the squared distance", "CO-2", seen="many ports of eq. 4", push=lambda s, d, m: torch.relu(m - d * d)),
    _mutant("co-no-half", "the factor of the paper is left out", "CO-3", "CO-5", "CO-1", "CO-2", seen="S2 under the name of S1", terms=lambda s, d, a, m, f: Contrastive.terms(s, d, a, m, 1.0)),
    _mutant("co-half-always", "the factor is 1/2 whatever is asked for", "CO-3", terms=lambda s, d, a, m, f: Contrastive.terms(s, d, a, m, 0.5)),
    _mutant("co-half-of-push", "the factor multiplies the dissimilar part only", "CO-3", "CO-1", terms=lambda s, d, a, m, f: torch.where(a, f * s.push(d, m), s.pull(d))),
    _mutant("co-no-hinge", "a dissimilar pair beyond the margin is pulled back", "CO-2", push=lambda s, d, m: (m - d) ** 2),
    _mutant("co-margin-one", "the margin is 1 whatever is asked for", "CO-2", push=lambda s, d, m: torch.relu(1.0 - d) ** 2),
    _mutant("co-default-margin", "margin is 2 where it is not given", "CO-5", __call__=with_default(Contrastive, margin=2.0)),
    _mutant("co-coincident", "a coincident dissimilar pair has no loss", "CO-6", push=lambda s, d, m: torch.where(d == 0, 0.0, Contrastive.push(s, d, m))),
    _mutant("co-margin-zero", "a margin of 0 is refused", "CO-10", check_number=lambda s, n, v, low: TripletMargin.check_number(s, n, v, 1e-9 if n == "margin" else low)),
    _mutant("co-reversed", "x1 is subtracted from x2", "DI-4", pair=lambda s, x, y, o: s.distance(y, x, o)),
    _mutant("co-bare-root", "the square root is differentiated at 0", "CO-8", seen="bare square roots of S3", low=_bare_root),
    _mutant("co-nan-swallowed", "the hinge swallows NaN", "CV-10", push=lambda s, d, m: torch.where(m - d > 0, m - d, 0.0) ** 2),
    _mutant("co-gradient-double", "the gradient lacks the 2 of the square", "CO-7", terms=_times(0.5)),
    _mutant("co-gradient-near", "the gradient is 1.001 times too large", "CO-7", "CV-16", terms=_times(1.001)),
    _mutant("co-broadcast-labels", "labels (N, 1) are taken as (N,)", "CO-9", seen="S3, which broadcasts to (N, N)", flags=lambda s, a, x: a.reshape(x.shape[:-1]) if a.numel() == x[..., 0].numel() else a.expand(x.shape[:-1])),
    _mutant("co-number-labels", "labels are taken for true where they are not 0", "CO-9", flags=lambda s, a, x: Contrastive.flags(s, a.bool(), x)),
    _mutant("co-count-all", "the mean counts pairs that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("co-mask-times", "the mask is a factor", "CV-8", "CV-9", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), masked=lambda s, t, m: t * m),
    _mutant("co-batch-mean", "distances are divided by their mean over the batch", "CO-4", pair=lambda s, x, y, o: s.distance(x, y, o) / s.distance(x, y, o).detach().mean().clamp(min=1e-9) if x.ndim > 1 and len(x) > 1 else s.distance(x, y, o)),
    _mutant("co-cosine-clamped-at-1e-8", "lengths below 1e-8 are taken for 1e-8", "DI-8", "DI-13", seen="cosine_similarity of torch", cosine=clamped_cosine),
    _mutant("co-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
)  # fmt: skip

CORRECT = Contrastive()
__all__ = ["CORRECT", "MUTANTS"]
