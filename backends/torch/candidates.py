"""What the anchors of a batch are compared with: one another, or a second set of rows (spec/pairwise.md)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import batch, describe, on_host, same_device, table
from lossproof.spec.arguments import (
    check_candidate_index,
    check_candidates,
    check_index_range,
    check_labels,
    check_mask,
)


class Sets(NamedTuple):
    """The anchors of a call, and the rows that they are compared with; without a second set both are the batch."""

    rows: Tensor  # (B, D)
    takes_part: Tensor | None  # (B,), None: all of them
    labels: Tensor  # (B,), int64
    candidates: Tensor  # (M, D)
    candidates_take_part: Tensor | None  # (M,), None: all of them
    candidate_labels: Tensor  # (M,), int64
    named: Tensor | None  # (B,), the candidate that is the anchor itself, or -1; None: each row is its own, or none is
    wild: Tensor | None  # (B,), whether an anchor names a candidate that there is not; None: no anchor does
    second: bool  # whether there is a second set

    def of(self, rows: Tensor, candidates: Tensor | None = None) -> Sets:
        """Return the same sets with other numbers in their rows; without candidates they are the rows."""
        return Sets(
            rows, self.takes_part, self.labels, rows if candidates is None else candidates,
            self.candidates_take_part, self.candidate_labels, self.named, self.wild, self.second,
        )  # fmt: skip

    def itself(self) -> Tensor | None:
        """Return whether a candidate is the anchor, (B, M), or None if none is: PW-2, PW-10."""
        if not self.second:
            return torch.eye(self.rows.shape[0], dtype=torch.bool, device=self.rows.device)
        if self.named is None:
            return None
        return self.named.unsqueeze(1) == torch.arange(self.candidates.shape[0], device=self.rows.device)

    def pairs(self, *, include_self: bool = False) -> tuple[Tensor, Tensor]:
        """Return which candidates are positives and which are negatives of each anchor, (B, M) each: PW-2, PW-9."""
        positive = self.labels.unsqueeze(1) == self.candidate_labels  # CV-32
        negative = ~positive
        itself = self.itself() if self.second or not include_self else None
        if itself is not None:
            positive = positive | itself if include_self else positive & ~itself  # BH-3, BH-12
            negative = negative & ~itself if self.second else negative  # or it has the anchor's label anyway
        both = None if self.takes_part is None else self.takes_part.unsqueeze(1)
        if self.candidates_take_part is not None:
            both = self.candidates_take_part if both is None else both & self.candidates_take_part
        return (positive, negative) if both is None else (positive & both, negative & both)

    def whole(self, finite: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return which finite rows and candidates take part, (B,) and (M,)."""
        own = finite if self.takes_part is None else finite & self.takes_part
        if not self.second:
            return own, own
        return own, others if self.candidates_take_part is None else others & self.candidates_take_part

    def at_named(self, flags: Tensor) -> Tensor | None:
        """Return the flags (M,) of the candidates that the anchors name, False where they name none; None: all."""
        return None if self.named is None else flags[self.named.clamp(min=0)] & (self.named >= 0)

    def unknown(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """Return which anchors are flagged, meet a flagged candidate, or name one that there is not: PW-12, PW-14.

        What is masked out is not flagged.
        """
        if not self.second:
            return rows.any()  # each row meets every other one
        named = self.at_named(candidates)
        some = candidates.any() if named is None else candidates.sum() > named.long()
        return rows | some if self.wild is None else rows | some | self.wild

    def nothing(self) -> Tensor:
        """Return the sum of no terms for each anchor, (B,): 0, and 0 in each gradient, whatever the rows hold."""
        own = self.rows[:, :0].sum(-1)  # CV-5, CV-6
        return own + self.candidates[:0].sum() if self.second else own


def as_sets(
    embeddings: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    candidates: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    candidate_mask: Tensor | None = None,
    candidate_index: Tensor | None = None,
) -> Sets:
    """Check a batch and its second set; return both in the dtype of the arithmetic, masked rows as zeros."""
    given = {
        "candidates": candidates is not None,
        "candidate_labels": candidate_labels is not None,
        "candidate_mask": candidate_mask is not None,
        "candidate_index": candidate_index is not None,
    }
    others = () if candidates is None else (candidates,)
    own, rows = batch(mask, labels, *others, embeddings=embeddings)
    check_candidates(given)  # PW-13
    if candidates is None or candidate_labels is None:
        return Sets(rows, mask, own, rows, mask, own, None, None, False)
    second = table("candidates", candidates, "embeddings", embeddings, rows.dtype, empty=True)
    count = second.shape[0]
    check_labels("candidate_labels", *describe("candidate_labels", candidate_labels), count)  # CV-31
    same_device("candidate_labels", candidate_labels, "embeddings", embeddings)
    names = candidate_labels.long().contiguous()
    if candidate_mask is not None:
        check_mask("candidate_mask", *describe("candidate_mask", candidate_mask), (count,))  # CV-29, CV-30
        same_device("candidate_mask", candidate_mask, "embeddings", embeddings)
        second = second.masked_fill(~candidate_mask.unsqueeze(-1), 0.0)  # CV-8, CV-9
    if (labels.dtype == torch.uint64) != (candidate_labels.dtype == torch.uint64):
        own, names = own.clamp(min=-1), names.masked_fill(names < 0, -2)  # int64 shows large ones as negative numbers
    named, wild = None, None
    if candidate_index is not None:
        named, wild = _named(candidate_index, mask, embeddings, count)
    return Sets(rows, mask, own, second, candidate_mask, names, named if count else None, wild, True)


def _named(index: Tensor, mask: Tensor | None, embeddings: Tensor, count: int) -> tuple[Tensor, Tensor | None]:
    """Return the candidate that each anchor names, -1 for none, and which anchors name one that there is not: PW-14."""
    check_candidate_index(*describe("candidate_index", index), embeddings.shape[0])
    same_device("candidate_index", index, "embeddings", embeddings)
    named = index.long()
    if index.dtype == torch.uint64:
        named = named.masked_fill(named < 0, torch.iinfo(torch.int64).max)  # so int64 shows the upper half
    if mask is not None:
        named = named.masked_fill(~mask, -1)
    if on_host(named):
        if named.shape[0]:
            check_index_range(int(named.min()), int(named.max()), count)
        return named, None
    wild = (named < -1) | (named >= count)
    return named.masked_fill(wild, -1), wild
