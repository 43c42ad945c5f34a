"""Broken batch-all triplet losses, each the correct one with a method replaced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import with_default
from audit.mutants.pairs import Mined, gram, half_count, half_labels, maker, normalised, scaled


class BatchAll(Mined):
    """The loss, over B x B x B triplets."""

    direct = False  # for one that is wrong there alone

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        margin: float = 1.0,
        distance: str = "euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of a batch."""
        self.check_choice("pairwise", pairwise, ("gram", "direct"))
        rows, labels, taking = self.checked(embeddings, labels, mask, margin, distance, reduction)
        positive, negative = self.pairs(labels, taking, False)
        self.check_most(positive, max_positives)
        valid = self.valid(positive, negative)
        if not len(rows):
            return rows.sum(-1) if reduction == "none" else rows.sum()
        d = self.matrix(rows, distance)
        terms = self.hinge(self.gap(margin, d[:, :, None], self.other(d)[:, None, :])).masked_fill(~valid, 0.0)
        terms = self.poison(terms, valid & rows.detach().isnan().any())
        if reduction == "none":
            return self.sums(terms)
        return terms.sum() if reduction == "sum" else terms.sum() / self.divisor(terms.detach(), valid, reduction)

    def valid(self, positive: Tensor, negative: Tensor) -> Tensor:
        """BA-2."""
        return positive[:, :, None] & negative[:, None, :]

    def other(self, d: Tensor) -> Tensor:
        """Return the distances of the negatives: BA-5."""
        return d

    def sums(self, terms: Tensor) -> Tensor:
        """BA-1."""
        return terms.sum((1, 2))

    def divisor(self, terms: Tensor, valid: Tensor, reduction: str) -> Tensor | float:
        """BA-3, BA-4."""
        counted = valid if reduction == "mean" else valid & ~(terms <= 0)
        return counted.sum().clamp(min=1)


def _direct_by_blocks(loss: BatchAll, *args: Any, pairwise: str = "gram", **given: Any) -> Tensor:
    loss.direct = pairwise == "direct"
    return BatchAll.__call__(loss, *args, pairwise=pairwise, **given)


def _last_block(loss: BatchAll, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    d, count = Mined.matrix(loss, rows, distance, floor), len(rows)
    whole = count // 64 * 64 if loss.direct and count > 64 else count
    return torch.where(torch.arange(count)[:, None] < whole, d, 0.0)


def _no_more_than_rows(loss: BatchAll, positive: Tensor, most: Any) -> None:
    Mined.check_most(loss, positive, most)
    if most is not None:
        positive.int().topk(int(most), dim=1)


_mutant = maker(BatchAll, "batch_all_triplet_loss")

MUTANTS: dict[str, Mutant] = table(
    _mutant("ba-self", "the anchor is one of its own positives", "BA-2", others=lambda s, count: torch.ones(count, count, dtype=torch.bool)),
    _mutant("ba-all-rows", "every row that is no positive is a negative, the anchor too", "BA-2", "BA-1", "BA-3", "PW-2", pairs=lambda s, labels, mask, itself: (Mined.pairs(s, labels, mask, itself)[0], Mined.pairs(s, labels, mask, itself)[1] | torch.eye(len(labels), dtype=torch.bool) & mask)),
    _mutant("ba-anchor-mean", "none gives the mean of each anchor", "BA-1", "CV-1", sums=lambda s, t: t.mean((1, 2))),
    _mutant("ba-positive-sums", "none gives the sums of each positive", "BA-1", "CV-1", sums=lambda s, t: t.sum((0, 2))),
    _mutant("ba-mean-active", "the mean is over the active triplets", "BA-3", "CV-3", seen="pytorch-metric-learning, sentence-transformers", divisor=lambda s, t, v, r: BatchAll.divisor(s, t, v, "mean_nonzero")),
    _mutant("ba-mean-all", "the mean over the active triplets is over all of them", "BA-4", "CV-4", divisor=lambda s, t, v, r: BatchAll.divisor(s, t, v, "mean")),
    _mutant("ba-mean-batch", "the mean divides by the rows", "BA-3", "CV-3", divisor=lambda s, t, v, r: len(t) if r == "mean" else BatchAll.divisor(s, t, v, r)),
    _mutant("ba-count-margin", "a triplet at the margin counts as active", "BA-4", "CV-4", divisor=lambda s, t, v, r: BatchAll.divisor(s, t, v, r) if r == "mean" else v.sum().clamp(min=1)),
    _mutant("ba-unguarded", "without a triplet the mean is 0/0", "CV-5", "CV-6", "BA-3", divisor=lambda s, t, v, r: (v if r == "mean" else v & ~(t <= 0)).sum()),
    _mutant("ba-fixed-negative", "the negatives get no gradient", "BA-5", other=lambda s, d: d.detach()),
    _mutant("ba-half", "the gradient is half as large", "BA-5", gap=lambda s, m, near, far: scaled(0.5)(m + near - far)),
    _mutant("ba-at-margin", "the hinge has derivative 1 at 0", "BA-6", seen="in-place masks, clamp", ours=True, hinge=lambda s, x: torch.where(x >= 0, x, torch.where(x.isnan(), x, torch.zeros_like(x)))),
    _mutant("ba-nan-skipped", "triplets that are NaN are left out", "BA-7", seen="selection by > 0 in pytorch-metric-learning", hinge=lambda s, x: torch.where(x > 0, x, torch.zeros_like(x)), poison=lambda s, t, u: t),
    _mutant("ba-nan-own", "only the triplets of the NaN row itself are NaN", "BA-7", "CV-10", hinge=lambda s, x: torch.where(x > 0, x, torch.zeros_like(x)), poison=lambda s, t, u: t.masked_fill(u & (torch.arange(len(t)) == 0)[:, None, None], torch.nan)),
    _mutant("ba-margin", "the margin is 0.05 where it is not given", "BA-8", seen="pytorch-metric-learning", __call__=with_default(BatchAll, margin=0.05)),
    _mutant("ba-squared", "squared distances are taken for distances", "DI-9", "BA-1", "BA-8", euclidean=lambda s, x, y: s.squared(x, y)),
    _mutant("ba-no-centring", "the matrix product is of the rows as they stand", "PW-6", "PW-7", "CV-15", seen="every public implementation", matrix=gram),
    _mutant("ba-normalised", "rows are normalised first", "PW-1", "BA-1", "BA-8", seen="pytorch-metric-learning", matrix=normalised),
    _mutant("ba-turned", "the gradient of a distance is 1.01 times too large", "PW-7", "BA-5", "CV-16", matrix=lambda s, rows, distance, floor=0.0: scaled(1.01)(Mined.matrix(s, rows, distance, floor))),
    _mutant("ba-many-positives", "max_positives is not looked at", "PW-8", check_most=lambda s, positive, most: None),
    _mutant("ba-last-block", "direct distances of the rows after the last whole block of 64 are 0", "BA-1", "PW-1", __call__=_direct_by_blocks, matrix=_last_block),
    _mutant("ba-more-than-rows", "a max_positives of more than the rows raises", "PW-8", "CV-23", seen="topk", check_most=_no_more_than_rows),
    _mutant("ba-far-as-none", "distances are cut off at 1e15", "BA-1", "CV-15", seen="a large number for infinity", matrix=lambda s, rows, distance, floor=0.0: Mined.matrix(s, rows, distance, floor).clamp(max=1e15)),
    _mutant("ba-short-cosine", "norms below 1e-8 are taken for 1e-8", "DI-8", seen="torch.nn.functional.cosine_similarity", cosine=lambda s, x, y: 1 - torch.nn.functional.cosine_similarity(x, y, dim=-1)),
    _mutant("ba-mask-late", "masked rows are still candidates", "CV-7", "CV-8", "BA-2", "PW-2", pairs=lambda s, labels, mask, itself: Mined.pairs(s, labels, torch.ones_like(mask), itself)),
    _mutant("ba-half-count", "triplets are counted in the dtype of the embeddings", "CV-17", **half_count(BatchAll, "divisor")),
    _mutant("ba-half-labels", "labels are compared in the dtype of half embeddings", "CV-32", **half_labels(BatchAll)),
    _mutant("ba-float-labels", "labels are compared as float32", "CV-32", same=lambda s, labels: labels.float()[:, None] == labels.float()),
)  # fmt: skip

CORRECT = BatchAll()
__all__ = ["CORRECT", "MUTANTS"]
