"""Broken batch-hard triplet losses, each the correct one with a method replaced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from audit.mutants import Mutant, table
from audit.mutants.correct import TripletMargin, with_default
from audit.mutants.pairs import Mined, gram, half_count, maker, normalised, scaled
from audit.mutants.soft_margin import soft_margins


class BatchHard(Mined):
    """The loss."""

    by_blocks = False  # for one that is wrong there alone

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        margin: float = 0.3,
        soft_margin: bool = False,
        distance: str = "euclidean",
        floor: float = 0.0,
        include_self: bool = False,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of a batch."""
        self.check_number("floor", floor, 0.0)
        self.check_switch("soft_margin", soft_margin)
        self.check_switch("include_self", include_self)
        self.check_soft(soft_margin, margin, 0.3)
        self.check_together(distance, floor)
        rows, labels, taking = self.checked(embeddings, labels, mask, margin, distance, reduction)
        positive, negative = self.pairs(labels, taking, self.itself(include_self))
        anchors = self.anchors(positive, negative, taking)
        if not len(rows):
            return self.reduce(rows.sum(-1), anchors, reduction)
        d = self.matrix(rows, distance, floor)
        hardest, nearest = self.picked(d, positive, largest=True), self.picked(d, negative, largest=False)
        near, far = self.taken(d, hardest, positive, largest=True), self.taken(d, nearest, negative, largest=False)
        terms = self.terms(near, far, margin, soft_margin)
        terms = self.poison(terms, rows.detach().isnan().any().expand(terms.shape))
        return self.reduce(terms, anchors, self.over(reduction, soft_margin))

    def check_together(self, distance: str, floor: float) -> None:
        """PW-3."""
        if distance == "cosine" and floor:
            raise ValueError(f"floor must be 0 with cosine, got {floor}")

    def itself(self, include_self: bool) -> bool:
        """BH-3."""
        return include_self

    def anchors(self, positive: Tensor, negative: Tensor, taking: Tensor) -> Tensor:
        """BH-2."""
        return positive.any(-1) & negative.any(-1)

    def taken(self, d: Tensor, index: Tensor, among: Tensor, *, largest: bool) -> Tensor:
        """Return the distance of the row that was picked: BH-7, BH-10."""
        return d.gather(1, index[:, None])[:, 0]

    def terms(self, near: Tensor, far: Tensor, margin: float, soft: bool) -> Tensor:
        """BH-1, BH-4, BH-9."""
        return self.soft(near - far) if soft else self.hinge(margin + near - far)


def _shared(loss: BatchHard, d: Tensor, index: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    candidates = d.masked_fill(~among, -torch.inf if largest else torch.inf)
    return candidates.amax(-1) if largest else candidates.amin(-1)


def _cut_off(loss: BatchHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    d = Mined.matrix(loss, rows, distance, floor)
    return torch.where(d.isinf(), torch.finfo(d.dtype).max, d)


def _with_largest(loss: BatchHard, d: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    most = torch.finfo(d.dtype).max
    return loss.first(d.detach().masked_fill(~among, -most if largest else most), largest=largest)


def _farther(loss: BatchHard, d: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    """Return the farthest of both kinds: the easiest negative."""
    return Mined.picked(loss, d, among, largest=True)


def _last(loss: BatchHard, candidates: Tensor, *, largest: bool) -> Tensor:
    turned = candidates.flip(-1)
    return candidates.shape[-1] - 1 - (turned.argmax(-1) if largest else turned.argmin(-1))


def _times_mask(loss: BatchHard, d: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    found = d.detach() * among
    return found.argmax(-1) if largest else found.argmin(-1)


def _all(loss: BatchHard, positive: Tensor, negative: Tensor, taking: Tensor) -> Tensor:
    return taking & negative.any(-1)


def _own_gradient(loss: BatchHard, d: Tensor, index: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    taken = BatchHard.taken(loss, d, index, among, largest=largest)
    own = index == torch.arange(len(d))
    return torch.where(own, taken + (d - d.detach()).sum(-1), taken)


def _skip_nan(loss: BatchHard, candidates: Tensor, *, largest: bool) -> Tensor:
    return Mined.first(loss, candidates.nan_to_num(nan=-1e30 if largest else 1e30), largest=largest)


def _half(loss: BatchHard, near: Tensor, far: Tensor, margin: float, soft: bool) -> Tensor:
    return scaled(0.5)(BatchHard.terms(loss, near, far, margin, soft))


def _half_soft(loss: BatchHard, near: Tensor, far: Tensor, margin: float, soft: bool) -> Tensor:
    found = BatchHard.terms(loss, near, far, margin, soft)
    return scaled(0.5)(found) if soft else found


def _fixed_negative(loss: BatchHard, near: Tensor, far: Tensor, margin: float, soft: bool) -> Tensor:
    return BatchHard.terms(loss, near, far.detach(), margin, soft)


def _floor_leaks(loss: BatchHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    plain, floored = Mined.matrix(loss, rows, distance), Mined.matrix(loss, rows, distance, floor)
    return plain + (floored - plain).detach()


def _whole_floor(loss: BatchHard, floor: float, distance: str) -> float:
    return floor


def _p_norm_as_euclidean(loss: BatchHard, name: str, value: str, known: Any) -> None:
    if value != "p_norm":
        TripletMargin.check_choice(loss, name, value, known)


def _any_name(loss: BatchHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    return Mined.matrix(loss, rows, "euclidean" if distance == "p_norm" else distance, floor)


def _last_block(loss: BatchHard, d: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    """Leave out the rows after the last whole block of 128."""
    whole = len(d) // 128 * 128 if len(d) > 128 else len(d)
    return Mined.picked(loss, torch.where(torch.arange(len(d))[:, None] < whole, d, 1.0), among, largest=largest)


def _cosine_blocks(loss: BatchHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    loss.by_blocks = distance == "cosine"
    return Mined.matrix(loss, rows, distance, floor)


def _picked_by_blocks(loss: BatchHard, d: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    return (_last_block if loss.by_blocks else Mined.picked)(loss, d, among, largest=largest)


def _gram_of_many(loss: BatchHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    expands = distance == "squared_euclidean" and len(rows) > 25
    return (gram if expands else Mined.matrix)(loss, rows, distance, floor)


def _own_zero(loss: BatchHard, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    d, own = Mined.matrix(loss, rows, distance, floor), torch.eye(len(rows), dtype=torch.bool)
    return d.masked_fill(own, 0.0) if distance == "cosine" else d


def _far_as_none(loss: BatchHard, candidates: Tensor, *, largest: bool) -> Tensor:
    return Mined.first(loss, torch.where(candidates == torch.inf, 1e15, candidates), largest=largest)


def _drawn(loss: BatchHard, candidates: Tensor, *, largest: bool) -> Tensor:
    best = candidates.amax(-1, keepdim=True) if largest else candidates.amin(-1, keepdim=True)
    tied = candidates == best
    if not bool((tied & best.isfinite()).sum(-1).gt(1).any()):
        return Mined.first(loss, candidates, largest=largest)
    return (tied * (1 + torch.rand(tied.shape))).argmax(-1)


def _zeroed_in_place(loss: BatchHard, embeddings: Tensor, labels: Tensor, **given: Any) -> Tensor:
    if given.get("mask") is not None and given.get("floor"):
        embeddings.data[~given["mask"]] = 0
    return BatchHard.__call__(loss, embeddings, labels, **given)


_mutant = maker(BatchHard, "batch_hard_triplet_loss")

MUTANTS: dict[str, Mutant] = table(
    _mutant("bh-self", "the anchor is always one of its own positives", "BH-2", "PW-2", "BH-1", "BH-6", seen="re-identification code", itself=lambda s, i: True),
    _mutant("bh-never-self", "include_self is ignored", "BH-3", itself=lambda s, i: False),
    _mutant("bh-count-all", "the mean divides by every row with a negative", "BH-2", seen="re-identification code", anchors=_all),
    _mutant("bh-easiest", "the farthest negative is taken", "BH-1", picked=_farther),
    _mutant("bh-times-mask", "distances are multiplied by the mask before the minimum", "BH-1", "BH-2", "BH-6", seen="fast-reid", picked=_times_mask),
    _mutant("bh-nan-in-no-triplet", "a row that holds NaN and is in no triplet has a NaN gradient", "CV-11", ours=True),
    _mutant("bh-ties-shared", "rows that tie share the gradient", "BH-8", seen="amax in torch, reduce_max in TensorFlow and JAX", ours=True, taken=_shared),
    _mutant("bh-last", "the highest index of a tie is chosen", "BH-8", ours=True, first=_last),
    _mutant("bh-at-margin", "the hinge has derivative 1 at 0", "BH-9", "CV-13", seen="clamp in torch up to 2.13", ours=True, hinge=lambda s, x: torch.where(x >= 0, x, torch.where(x.isnan(), x, torch.zeros_like(x)))),
    _mutant("bh-own-gradient", "an anchor that is its own positive moves", "BH-10", taken=_own_gradient),
    _mutant("bh-soft-overflow", "the soft margin overflows", "BH-4", seen="TensorFlow Addons, open-metric-learning", soft=lambda s, x: x.exp().log1p() if x.numel() and x.detach().max() < 88 else x.exp().log1p() + torch.inf),
    _mutant("bh-soft-margin", "the margin is added to the soft margin too", "BH-4", terms=lambda s, near, far, m, soft: s.soft(m + near - far) if soft else s.hinge(m + near - far)),
    _mutant("bh-soft-sign", "the soft margin has the sign of its argument wrong", "BH-4", soft=lambda s, x: softplus(-x, threshold=40.0)),
    _mutant("bh-soft-half", "the gradient of the soft margin is half as large", "BH-7", terms=_half_soft),
    _mutant("bh-half", "the gradient is half as large", "BH-7", terms=_half),
    _mutant("bh-fixed-negative", "the negative gets no gradient", "BH-7", terms=_fixed_negative),
    _mutant("bh-margin-one", "the margin is 1 where it is not given", "BH-6", seen="TensorFlow Addons under this name", __call__=with_default(BatchHard, margin=1.0)),
    _mutant("bh-gram", "distances come from a matrix product of the rows as they stand", "BH-5", seen="every public implementation", matrix=gram),
    _mutant("bh-normalised", "rows are normalised first", "PW-1", "BH-1", "BH-6", seen="pytorch-metric-learning", matrix=normalised),
    _mutant("bh-squared", "squared distances are taken for distances", "DI-9", "BH-1", "BH-6", euclidean=lambda s, x, y: s.squared(x, y)),
    _mutant("bh-distance-of-directions", "the cosine is not normalised", "DI-8", seen="TensorFlow Similarity", cosine=lambda s, x, y: 1 - (x * y).sum(-1)),
    _mutant("bh-no-floor", "the floor is ignored", "PW-3", matrix=lambda s, rows, distance, floor=0.0: Mined.matrix(s, rows, distance)),
    _mutant("bh-floor-of-distance", "the floor is that of the distance, not of its square", "PW-3", floored=_whole_floor),
    _mutant("bh-floor-leaks", "a distance at its floor has the gradient of the distance", "PW-4", matrix=_floor_leaks),
    _mutant("bh-floor-cosine", "a floor is accepted with cosine", "PW-3", check_together=lambda s, distance, floor: None),
    _mutant("bh-p-norm", "p_norm is taken for euclidean", "PW-1", check_choice=_p_norm_as_euclidean, matrix=_any_name),
    _mutant("bh-float-labels", "labels are compared as float32", "CV-32", same=lambda s, labels: labels.float()[:, None] == labels.float()),
    _mutant("bh-narrow-labels", "labels are compared as int32", "CV-32", seen="jax without 64 bits cuts labels off", same=lambda s, labels: labels.int()[:, None] == labels.int()),
    _mutant("bh-any-labels", "labels of any dtype are taken", "CV-31", seen="omoindrot", check_labels=lambda s, labels, count: None),
    _mutant("bh-nan-skipped", "maximum and minimum skip NaN", "PW-5", seen="masked arrays", first=_skip_nan, poison=lambda s, terms, unknown: terms),
    _mutant("bh-mask-late", "masked rows are still candidates", "CV-7", "CV-8", "PW-2", "CV-3", pairs=lambda s, labels, mask, itself: Mined.pairs(s, labels, torch.ones_like(mask), itself), anchors=lambda s, p, n, t: t & p.any(-1) & n.any(-1)),
    _mutant("bh-mask-content", "masked rows keep their content", "CV-8", "CV-9", prepare=lambda s, row, mask: row.to(s.arithmetic(row.dtype))),
    _mutant("bh-mean-of-all", "the mean is over the whole batch", "CV-3", "BH-2", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None if r == "mean" else m, r)),
    _mutant("bh-bare-root", "the square root is differentiated at 0", "DI-15", "PW-4", seen="siamese-triplet", low=lambda s, total, floor: total < floor),
    _mutant("bh-half-count", "anchors are counted in the dtype of the embeddings", "CV-17", **half_count(BatchHard, "count")),
    _mutant("bh-last-block", "with cosines, rows after the last whole block of 128 are not looked at", "BH-1", "DI-8", matrix=_cosine_blocks, picked=_picked_by_blocks),
    _mutant("bh-gram-of-many", "squared distances of more than 25 rows come from a matrix product", "BH-5", seen="torch.cdist", matrix=_gram_of_many),
    _mutant("bh-own-zero", "a zero row is at distance 0 from itself under cosine", "BH-3", matrix=_own_zero),
    _mutant("bh-far-as-none", "a negative farther than 1e15 is no negative", "BH-1", "CV-15", seen="a large number for none", first=_far_as_none),
    _mutant("bh-short-cosine", "norms below 1e-8 are taken for 1e-8", "DI-8", seen="torch.nn.functional.cosine_similarity", cosine=lambda s, x, y: 1 - torch.nn.functional.cosine_similarity(x, y, dim=-1)),
    _mutant("bh-drawn", "of rows that tie one is drawn", "CV-21", first=_drawn),
    _mutant("bh-zeroed-in-place", "with a floor, rows that are masked out are set to zero where they lie", "CV-21", __call__=_zeroed_in_place),
    _mutant("bh-uint64-double", "labels of uint64 are compared as float64", "CV-31", check_labels=lambda s, y, n: None if y.dtype == torch.uint64 else Mined.check_labels(s, y, n), same=lambda s, y: Mined.same(s, y.double() if y.dtype == torch.uint64 else y)),
    _mutant("bh-largest-as-filler", "the largest number stands for no candidate, and ties with distances that are cut off", "CV-19", ours=True, matrix=_cut_off, picked=_with_largest),
    _mutant("bh-soft-word", "a word for soft_margin is taken for true", "CV-27", check_switch=lambda s, n, v: None),
    _mutant("bh-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
    *(_mutant(f"bh-soft-{name}", bug, clause, seen=seen, **methods) for name, bug, clause, seen, methods in soft_margins("BH-4", "BH-7") if name in ("nonzero", "of-hinge", "with-margin", "slope")),
)  # fmt: skip

CORRECT = BatchHard()
__all__ = ["CORRECT", "MUTANTS"]
