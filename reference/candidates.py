"""What the anchors of a batch are compared with: one another, or a second set of rows (spec/pairwise.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.inputs import as_batch, as_mask, as_rows, described
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    check_candidate_index,
    check_candidates,
    check_index_range,
    check_labels,
    check_table,
)


@dataclass(frozen=True)
class Sets:
    """The anchors of a call, and the rows that they are compared with; without a second set both are the batch."""

    rows: Array  # (B, D)
    takes_part: Array  # (B,)
    candidates: Array  # (M, D)
    candidates_take_part: Array  # (M,)
    same: Array  # (B, M), whether the labels are the same
    itself: Array  # (B, M), whether a candidate is the anchor: PW-10
    second: bool  # whether there is a second set

    def pairs(self, *, include_self: bool = False) -> tuple[Array, Array]:
        """Return which candidates are positives and which are negatives of each anchor, (B, M) each: PW-2, PW-9."""
        both = self.takes_part[:, None] & self.candidates_take_part
        own = self.itself & include_self  # BH-3, BH-12
        return (self.same & ~self.itself | own) & both, ~self.same & ~self.itself & both

    def compared(self) -> Array:
        """Return the row that each anchor meets in each candidate, (B, M, D): itself where that is the anchor."""
        return np.where(self.itself[..., None], self.rows[:, None], self.candidates)

    def met(self, chosen: Array) -> Array:
        """Return the rows of chosen candidates, one or more an anchor: (B, D) or (B, P, D)."""
        anchors = np.arange(len(chosen)).reshape(-1, *[1] * (chosen.ndim - 1))
        own = self.itself[anchors, chosen]
        return np.where(own[..., None], self.rows[anchors], self.candidates[chosen])

    def gradients(self, of_rows: Array, of_candidates: Array) -> dict[str, Array]:
        """Return the gradients by input: PW-11."""
        if self.second:
            return {"embeddings": of_rows, "candidates": of_candidates}
        return {"embeddings": of_rows + of_candidates}

    def centred(self) -> Array:
        """Return the finite rows that take part on either side, from the mean of the distinct ones: PW-6.

        A candidate that an anchor names stands for that anchor in the mean.
        """
        finite = [np.all(np.isfinite(rows), axis=-1) for rows in (self.rows, self.candidates)]
        named = np.any(self.itself & self.candidates_take_part & finite[1], axis=1)
        takes_part, other = self.takes_part & finite[0], self.candidates_take_part & finite[1]
        every = np.concatenate([self.rows[takes_part], self.candidates[other]])
        distinct = np.concatenate([self.rows[takes_part & ~named], self.candidates[other]])
        return np.asarray(every - np.mean(distinct, axis=0)) if len(distinct) else every


def as_sets(
    embeddings: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None,
    candidates: ArrayLike | None = None,
    candidate_labels: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    candidate_index: ArrayLike | None = None,
) -> Sets:
    """Check a batch and its second set; return both, masked rows as 0."""
    own, takes_part, rows = as_batch(labels, mask, embeddings=embeddings)  # CV-31, CV-34
    given = {
        "candidates": candidates,
        "candidate_labels": candidate_labels,
        "candidate_mask": candidate_mask,
        "candidate_index": candidate_index,
    }
    check_candidates({name: value is not None for name, value in given.items()})  # PW-13
    if candidates is None or candidate_labels is None:
        same = own[:, None] == own  # CV-32
        return Sets(rows, takes_part, rows, takes_part, same, np.eye(len(rows), dtype=bool), False)
    known = described(embeddings=embeddings, candidates=candidates)
    (shape, dtype), others = known["embeddings"], known["candidates"]
    check_table("candidates", *others, "embeddings", shape[1], dtype, empty=True)
    names, count = np.asarray(candidate_labels), others[0][0]
    check_labels("candidate_labels", names.shape, names.dtype.name, count)
    other = as_mask(candidate_mask, (count,), "candidate_mask")
    itself = _named(candidate_index, takes_part, count)
    (second,) = as_rows(candidates=candidates)
    wide = np.result_type(rows, second)
    second = np.where(other[:, None], second, 0).astype(wide)
    return Sets(rows.astype(wide), takes_part, second, other, own[:, None] == names, itself, True)


def _named(index: ArrayLike | None, takes_part: Array, count: int) -> Array:
    """Return which candidate is the anchor itself, (B, M): PW-10."""
    if index is None:
        return np.zeros((len(takes_part), count), bool)
    own = np.asarray(index)
    check_candidate_index(own.shape, own.dtype.name, len(takes_part))
    own = np.where(takes_part, own, -1)
    if own.size:
        check_index_range(int(own.min()), int(own.max()), count)  # PW-14
    return np.asarray(own[:, None] == np.arange(count))
