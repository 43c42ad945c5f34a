"""What the anchors of a batch are compared with: one another, or a second set of rows (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import batch, describe, filled, of_one_shape, on_host, table
from lossproof.spec.arguments import (
    check_candidate_index,
    check_candidates,
    check_index_range,
    check_labels,
    check_mask,
)


@dataclass(frozen=True)
class Sets:
    """The anchors of a call, and the rows that they are compared with; without a second set both are the batch."""

    rows: tf.Tensor  # (B, D)
    takes_part: tf.Tensor | None  # (B,); None: all of them
    candidates: tf.Tensor  # (M, D)
    candidates_take_part: tf.Tensor | None  # (M,)
    labels: Any  # (B,), numpy arrays where they were given as such
    candidate_labels: Any  # (M,)
    same: tf.Tensor  # (B, M), whether the labels are the same
    itself: tf.Tensor | None  # (B, M), whether a candidate is the anchor (PW-10); None: none is
    second: bool  # whether there is a second set
    named: Any = None  # (B,), of a second set: which candidate is the anchor, -1 for none
    wild: tf.Tensor | None = None  # (B,), whether an anchor names a candidate that there is not: PW-14

    def pairs(self, *, include_self: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return which candidates are positives and which are negatives of each anchor, (B, M) each: PW-2, PW-9."""
        positive, negative = self.same, ~self.same
        if self.itself is not None and self.second:
            negative = negative & ~self.itself  # whatever its label is
            positive = positive | self.itself if include_self else positive & ~self.itself  # BH-12
        elif self.itself is not None and not include_self:
            positive = positive & ~self.itself
        both = None if self.takes_part is None else self.takes_part[:, tf.newaxis]
        if self.candidates_take_part is not None:
            both = self.candidates_take_part if both is None else both & self.candidates_take_part
        return (positive, negative) if both is None else (positive & both, negative & both)

    def cleared(self, legal: Callable[[tf.Tensor], tf.Tensor]) -> tuple[Sets, tf.Tensor, tf.Tensor]:
        """Return zeros for the rows of which a number is not legal, and which rows of each side were: (B,), (M,)."""
        whole = tf.reduce_all(legal(self.rows), axis=-1)
        rows = filled(self.rows, ~whole[:, tf.newaxis], 0.0)
        if not self.second:
            return replace(self, rows=rows, candidates=rows), whole, whole
        others = tf.reduce_all(legal(self.candidates), axis=-1)
        return (
            replace(self, rows=rows, candidates=filled(self.candidates, ~others[:, tf.newaxis], 0.0)),
            whole,
            others,
        )

    def unknown(self, whole: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Return which anchors are not whole, meet a candidate that is not, or name none that there is: PW-12, PW-14.

        Of shape (), without a second set: each row is a candidate of every anchor (PW-5).
        """
        if not self.second:
            return ~tf.reduce_all(whole)
        met = others if self.itself is None else others | self.itself
        found = ~whole | ~tf.reduce_all(met, axis=-1)
        return found if self.wild is None else found | self.wild

    def distinct(self, whole: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return which rows of each side a mean is over: whole ones that take part, and none of them twice (PW-6)."""
        whole = whole if self.takes_part is None else whole & self.takes_part
        if not self.second:
            return whole, whole
        others = others if self.candidates_take_part is None else others & self.candidates_take_part
        if self.itself is None:
            return whole, others
        return whole & ~tf.reduce_any(self.itself & others, axis=-1), others

    def met(self, chosen: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the chosen candidate of each anchor, (B, D), and where that is the anchor itself, (B,).

        So it is where there is nothing to choose: no NaN comes from afar there (CV-11).
        """
        if not self.second:
            own = tf.range(tf.shape(self.rows, tf.int64)[0])
            chosen = tf.where(anchors, chosen, own)
            return tf.gather(self.rows, chosen), tf.equal(chosen, own)
        itself = ~anchors if self.itself is None else ~anchors | tf.equal(chosen, self.named)
        some = self.candidates
        if not some.shape[0]:  # none, or a number that is not known yet
            some = tf.pad(some, [[0, 1], [0, 0]])
        found = tf.gather(some, tf.where(itself, tf.zeros_like(chosen), chosen))
        return tf.where(itself[:, tf.newaxis], self.rows, found), itself


def as_sets(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    mask: tf.Tensor | None,
    candidates: tf.Tensor | None = None,
    candidate_labels: tf.Tensor | None = None,
    candidate_mask: tf.Tensor | None = None,
    candidate_index: tf.Tensor | None = None,
) -> Sets:
    """Check a batch and its second set; return both in the dtype of the arithmetic, masked rows as zeros."""
    takes_part, own, rows = batch(mask, labels, candidates, embeddings=embeddings)
    given = {
        "candidates": candidates,
        "candidate_labels": candidate_labels,
        "candidate_mask": candidate_mask,
        "candidate_index": candidate_index,
    }
    check_candidates({name: value is not None for name, value in given.items()})  # PW-13
    if candidates is None:
        known = tf.convert_to_tensor(own)
        same = tf.equal(known[:, tf.newaxis], known)  # CV-32
        itself = tf.eye(tf.shape(known)[0], dtype=tf.bool)
        return Sets(rows, takes_part, rows, takes_part, own, own, same, itself, second=False)
    others = table("candidates", candidates, rows.dtype, "embeddings", embeddings, empty=True)
    if rows.shape[1] is None or others.shape[1] is None:  # compared when the graph runs, or one would be broadcast
        others += of_one_shape(*(tf.zeros(tf.shape(side)[1:], rows.dtype) for side in (rows, others)))[0]
    names, chosen, index = (
        tf.convert_to_tensor(value) if isinstance(value, tf.Variable) else value
        for value in (candidate_labels, candidate_mask, candidate_index)
    )
    check_labels("candidate_labels", *describe("candidate_labels", names), others.shape[0])  # CV-31
    names = _one_each(names, others)
    if chosen is not None:
        check_mask("candidate_mask", *describe("candidate_mask", chosen), others.shape[:1])  # CV-29, CV-30
        chosen = tf.convert_to_tensor(_one_each(chosen, others))
        others = filled(others, ~chosen[:, tf.newaxis], 0.0)  # CV-8, CV-9
    sets = Sets(rows, takes_part, others, chosen, own, names, _same(own, names), None, second=True)
    return sets if index is None else _named(sets, index, mask)


def _one_each(values: Any, rows: tf.Tensor) -> Any:
    """Compare the number of values with that of rows when the graph runs, where one of them is not known yet."""
    if rows.shape[0] is not None and values.shape[0] is not None:
        return values
    values = tf.convert_to_tensor(values)
    return of_one_shape(values, tf.zeros_like(rows[:, 0], values.dtype))[0]


def _same(labels: Any, names: Any) -> tf.Tensor:
    """Return which labels are the same integers, (B, M), whatever their dtypes are: CV-32, PW-13."""
    labels, names = tf.convert_to_tensor(labels), tf.convert_to_tensor(names)
    if labels.dtype == names.dtype:
        return tf.equal(labels[:, tf.newaxis], names)
    own, other = tf.cast(labels, tf.int64), tf.cast(names, tf.int64)
    same = tf.equal(own[:, tf.newaxis], other)
    mixed = tf.uint64 in (labels.dtype, names.dtype)  # of these, 2^63 and more become negative
    return same & (own >= 0)[:, tf.newaxis] if mixed else same


def _named(sets: Sets, index: Any, mask: Any) -> Sets:
    """Return the sets with the candidate that is the anchor itself: PW-10, PW-14."""
    check_candidate_index(*describe("candidate_index", index), sets.rows.shape[0])  # PW-13
    count = sets.candidates.shape[0]
    legal = on_host(index) and (mask is None or on_host(mask)) and count is not None
    known = np.asarray(index) if legal else np.zeros(0)
    known = known if mask is None or not legal else known[np.asarray(mask)]
    if known.size:
        check_index_range(int(known.min()), int(known.max()), count)
    lowest = 0 if describe("candidate_index", index)[1].startswith("u") else -1  # 2^63 and more become negative
    index = _one_each(index, sets.rows)
    index = index.astype(np.int64) if isinstance(index, np.ndarray) else tf.cast(index, tf.int64)
    many = tf.shape(sets.candidates, tf.int64)[0]
    itself = tf.equal(index[:, np.newaxis], tf.range(many))
    wild = None if legal else (index < lowest) | (index >= many)
    return replace(sets, itself=itself, named=index, wild=wild)
