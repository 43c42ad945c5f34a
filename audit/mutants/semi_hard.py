"""Broken semi-hard triplet losses, each the correct one with a method replaced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import TripletMargin, with_default
from audit.mutants.pairs import Mined, gram, half_count, maker, normalised, scaled
from audit.mutants.soft_margin import soft_margins


class SemiHard(Mined):
    """The loss, over B x B x B candidates."""

    hardest = False  # for one that is wrong with a soft margin alone

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        margin: float = 1.0,
        soft_margin: bool = False,
        distance: str = "squared_euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of a batch."""
        self.check_choice("pairwise", pairwise, ("gram", "direct"))
        self.check_switch("soft_margin", soft_margin)
        self.check_soft(soft_margin, margin, 1.0)
        rows, labels, taking = self.checked(embeddings, labels, mask, margin, distance, reduction)
        positive, negative = self.pairs(labels, taking, False)
        self.check_most(positive, max_positives)
        units = self.units(positive, negative)
        if not len(rows):
            return rows @ rows.T if reduction == "none" else rows.sum()
        known = self.matrix(rows.detach(), distance)
        chosen = self.chosen(known, negative, margin)
        d = self.matrix(rows.masked_fill(rows.detach().isnan().any(-1, keepdim=True), 0.0), distance)  # 0 * NaN is NaN
        terms = self.term(self.gap(self.added(margin, soft_margin), d, self.other(d).gather(1, chosen)), soft_margin)
        unknown = known.isnan()
        terms = self.poison(terms, unknown | (unknown & negative).any(-1, keepdim=True))
        return self.reduce(terms, units, self.over(reduction, soft_margin))

    def units(self, positive: Tensor, negative: Tensor) -> Tensor:
        """SH-4."""
        return positive & negative.any(-1, keepdim=True)

    def other(self, d: Tensor) -> Tensor:
        """Return the distances of the negatives: SH-7."""
        return d

    def chosen(self, d: Tensor, negative: Tensor, margin: float) -> Tensor:
        """Return the index of the negative of each pair: SH-1, SH-2, SH-3, SH-5, SH-8."""
        among = negative[:, None, :].expand(d.shape[0], d.shape[0], d.shape[0])
        each = d[:, None, :].expand(among.shape)
        farther = among & self.farther(each, d[:, :, None], margin)
        nearest = self.picked(each, farther, largest=False)
        return torch.where(farther.any(-1), nearest, self.fallback(each, among))

    def farther(self, an: Tensor, ap: Tensor, margin: float) -> Tensor:
        """SH-2, SH-5."""
        return an > ap

    def fallback(self, each: Tensor, among: Tensor) -> Tensor:
        """SH-3."""
        return self.picked(each, among, largest=True)


def _last(loss: SemiHard, candidates: Tensor, *, largest: bool) -> Tensor:
    turned = candidates.flip(-1)
    return candidates.shape[-1] - 1 - (turned.argmax(-1) if largest else turned.argmin(-1))


def _per_anchor(loss: SemiHard, d: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Choose one negative an anchor, for its farthest row."""
    return SemiHard.chosen(loss, d, negative, margin)[:, :1].expand(d.shape)


def _gram_unless_direct(loss: SemiHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    return gram(loss, rows - rows.detach().sum(0) / 7, distance, floor)


def _masked_as_last(loss: SemiHard, labels: Tensor, mask: Tensor, itself: bool) -> tuple[Tensor, Tensor]:
    """Give rows that are masked out the largest label there is."""
    same, both = loss.same(labels.masked_fill(~mask, torch.iinfo(labels.dtype).max)), mask[:, None] & mask
    return same & (mask[:, None] | mask) & loss.others(len(labels)), ~same & both


def _hardest_when_soft(loss: SemiHard, embeddings: Tensor, labels: Tensor, **given: Any) -> Tensor:
    loss.hardest = given.get("soft_margin", False)
    return SemiHard.__call__(loss, embeddings, labels, **given)


_mutant = maker(SemiHard, "semi_hard_triplet_loss")

MUTANTS: dict[str, Mutant] = table(
    _mutant("sh-self", "the anchor is one of its own positives", "PW-2", others=lambda s, count: torch.ones(count, count, dtype=torch.bool)),
    _mutant("sh-not-strict", "a negative as far as the positive counts as farther", "SH-2", farther=lambda s, an, ap, m: an >= ap),
    _mutant("sh-nearest-fallback", "the fallback is the nearest negative", "SH-3", fallback=lambda s, each, among: s.picked(each, among, largest=False)),
    _mutant("sh-window", "the mean leaves out pairs without a negative within the margin", "SH-5", seen="pytorch-metric-learning, whose miner drops them", count=lambda s, t, m, r: TripletMargin.count(s, t, m, "mean_nonzero")),
    _mutant("sh-hardest", "the nearest negative is taken, farther or not", "SH-1", "SH-6", farther=lambda s, an, ap, m: torch.ones_like(an, dtype=torch.bool)),
    _mutant("sh-per-anchor", "one negative serves all positives of an anchor", "SH-1", "SH-6", seen="TensorFlow Similarity", chosen=_per_anchor),
    _mutant("sh-no-negative", "a pair without a negative counts", "SH-4", seen="tensorflow_addons", units=lambda s, p, n: p),
    _mutant("sh-upper", "each two rows are one pair, not two", "SH-4", "SH-1", "CV-1", units=lambda s, p, n: SemiHard.units(s, p, n).triu()),
    _mutant("sh-mean-of-anchors", "the mean divides by the anchors", "SH-4", "CV-3", count=lambda s, t, m, r: m.any(-1).sum().clamp(min=1) if r == "mean" and m is not None else TripletMargin.count(s, t, m, r)),
    _mutant("sh-mean-of-all", "the mean divides by every entry of the matrix", "SH-4", "CV-3", "SH-6", count=lambda s, t, m, r: TripletMargin.count(s, t, None if r == "mean" else m, r)),
    _mutant("sh-zero-over-zero", "without a pair the mean is 0/0", "SH-4", "CV-5", "CV-6", seen="tensorflow_addons", count=lambda s, t, m, r: m.sum() if m is not None else t.new_tensor(t.numel())),
    _mutant("sh-last", "the highest index of a tie is chosen", "SH-8", ours=True, first=_last),
    _mutant("sh-at-margin", "the hinge has derivative 1 at 0", "SH-9", seen="tf.maximum", ours=True, hinge=lambda s, x: torch.where(x >= 0, x, torch.where(x.isnan(), x, torch.zeros_like(x)))),
    _mutant("sh-fixed-negative", "the negative gets no gradient", "SH-7", other=lambda s, d: d.detach()),
    _mutant("sh-half-count", "pairs are counted in the dtype of the embeddings", "CV-17", **half_count(SemiHard, "count")),
    _mutant("sh-half", "the gradient is half as large", "SH-7", gap=lambda s, m, near, far: scaled(0.5)(m + near - far)),
    _mutant("sh-euclidean", "the default distance is euclidean", "SH-6", seen="tensorflow_addons under this name", __call__=with_default(SemiHard, distance="euclidean")),
    _mutant("sh-no-centring", "the matrix product is of the rows as they stand", "PW-6", seen="every public implementation", matrix=gram),
    _mutant("sh-half-centred", "a part of the mean is subtracted before the matrix product", "PW-6", "PW-7", "CV-15", matrix=_gram_unless_direct),
    _mutant("sh-turned", "the gradient of a distance is 1.01 times too large", "PW-7", matrix=lambda s, rows, distance, floor=0.0: scaled(1.01)(Mined.matrix(s, rows, distance, floor))),
    _mutant("sh-normalised", "rows are normalised first", "PW-1", "SH-1", seen="pytorch-metric-learning", matrix=normalised),
    _mutant("sh-many-positives", "max_positives is not looked at", "PW-8", check_most=lambda s, positive, most: None),
    _mutant("sh-nan-everywhere", "one NaN row makes every pair NaN", "SH-10", seen="a mean subtracted from all rows", poison=lambda s, terms, unknown: terms.masked_fill(unknown.any(), torch.nan)),
    _mutant("sh-nan-skipped", "a negative that is NaN is skipped", "SH-10", "PW-5", "CV-10", first=lambda s, c, largest: Mined.first(s, c.nan_to_num(nan=-1e30 if largest else 1e30), largest=largest), poison=lambda s, terms, unknown: terms),
    _mutant("sh-masked-as-last", "rows that are masked out have the largest label there is", "CV-32", "CV-7", seen="a label that stands for none", pairs=_masked_as_last),
    _mutant("sh-short-cosine", "norms below 1e-8 are taken for 1e-8", "DI-8", seen="torch.nn.functional.cosine_similarity", cosine=lambda s, x, y: 1 - torch.nn.functional.cosine_similarity(x, y, dim=-1)),
    _mutant("sh-float-labels", "labels are compared as float32", "CV-32", same=lambda s, labels: labels.float()[:, None] == labels.float()),
    _mutant("sh-infinite-filler", "infinity stands for no candidate, and ties with distances that overflow", "CV-19", ours=True),
    _mutant("sh-soft-hardest", "with a soft margin the nearest negative is taken, farther or not", "SH-12", __call__=_hardest_when_soft, farther=lambda s, an, ap, m: (an > ap) | s.hardest),
    *(_mutant(f"sh-soft-{name}", bug, clause, seen=seen, **methods) for name, bug, clause, seen, methods in soft_margins("SH-12", "SH-7")),
)  # fmt: skip

CORRECT = SemiHard()
__all__ = ["CORRECT", "MUTANTS"]
