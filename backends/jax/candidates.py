"""What the anchors of a batch are compared with: one another, or a second set of rows (spec/pairwise.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import (
    Input,
    at_hand,
    batch,
    describe,
    equal,
    identities,
    narrow,
    refuse_truncation,
    whole,
)
from lossproof.spec.arguments import (
    check_candidate_index,
    check_candidates,
    check_index_range,
    check_labels,
    check_mask,
    check_table,
)


@dataclass(frozen=True)
class Sets:
    """The anchors of a call, and the rows that they are compared with; without a second set both are the batch.

    What has the shape (B, M) is made where it is first asked for.
    """

    rows: Array  # (B, D)
    labels: Input  # (B,)
    takes_part: Input | None  # (B,), None: all do
    candidates: Array  # (M, D); of a second set without rows one that takes no part
    candidate_labels: Input  # (M,)
    candidates_take_part: Input | None  # (M,), None: all do
    named: Input | None = None  # (B,), int32: the candidate that is the anchor; no candidate, where none is
    wild: Array | None = None  # (B,), whether the index is none that an anchor may have: PW-14
    second: bool = False  # whether there is a second set
    count: Any = 0  # the number of candidates that were given, which a symbol of `jax.export` may be

    @cached_property
    def same(self) -> Array:
        """Whether the labels are the same, (B, M)."""
        return equal(self.labels, self.candidate_labels)

    @cached_property
    def itself(self) -> Array | None:
        """Whether a candidate is the anchor, (B, M); None where no anchor names one: PW-10."""
        if not self.second:
            return jnp.eye(self.labels.shape[0], dtype=bool)
        if self.named is None:
            return None
        return jnp.asarray(self.named)[:, None] == jnp.arange(self.candidates.shape[0], dtype=jnp.int32)[None]

    def pairs(self, *, include_self: bool = False) -> tuple[Array, Array]:
        """Return which candidates are positives and which are negatives of each anchor, (B, M) each: PW-2, PW-9."""
        same = self.same
        positive, negative = same, ~same
        if self.second:
            itself = self.itself
            if itself is not None:
                positive = positive & ~itself | itself if include_self else positive & ~itself  # BH-12
                negative = negative & ~itself
        elif not include_self:
            positive = same & ~jnp.eye(same.shape[0], dtype=bool)
        both = self._both()
        return (positive, negative) if both is None else (positive & both, negative & both)

    def _both(self) -> Array | None:
        one, other = self.takes_part, self.candidates_take_part
        anchors = None if one is None else jnp.asarray(one)[:, None]
        others = None if other is None else jnp.asarray(other)[None]
        return others if anchors is None else anchors if others is None else anchors & others

    def changed(self, change: Callable[[Array], Array]) -> Sets:
        """Return the same sets with other rows: one batch stays one batch."""
        rows = change(self.rows)
        return replace(self, rows=rows, candidates=change(self.candidates) if self.second else rows)

    def known(self) -> tuple[Sets, Array, Array]:
        """Return the sets with 0 for rows that are not finite, and which are: (B,) and (M,).

        They would reach every distance, and a gradient of 0 times NaN every row.
        """
        finite = jnp.all(jnp.isfinite(self.rows), axis=-1)
        rows = jnp.where(finite[:, None], self.rows, 0)
        if not self.second:
            return replace(self, rows=rows, candidates=rows), finite, finite
        others = jnp.all(jnp.isfinite(self.candidates), axis=-1)
        return replace(self, rows=rows, candidates=jnp.where(others[:, None], self.candidates, 0)), finite, others

    def unknown(self, finite: Array, others: Array) -> Array:
        """Return whether an anchor is not finite, or a candidate that it meets, or no index is right: PW-12, PW-14."""
        if not self.second:
            return ~jnp.all(finite)
        itself, met = self.itself, ~others[None]
        found = ~finite | jnp.any(met if itself is None else met & ~itself, axis=1)
        return found if self.wild is None else found | self.wild

    def distinct(self, finite: Array, others: Array) -> tuple[Array, tuple[Array, Array] | None]:
        """Return which rows, and with a second set which of its rows, count in the mean of the distinct ones: PW-6.

        A candidate that an anchor names stands for that anchor.
        """
        anchors = finite if self.takes_part is None else finite & jnp.asarray(self.takes_part)
        if not self.second:
            return anchors, None
        here = others if self.candidates_take_part is None else others & jnp.asarray(self.candidates_take_part)
        if self.named is not None:
            index, most = jnp.asarray(self.named), here.shape[0] - 1
            anchors = anchors & ~(here[jnp.clip(index, 0, most)] & (index >= 0) & (index <= most))
        return anchors, (self.candidates, here)

    def met(self, chosen: Array) -> Array:
        """Return the row that each anchor meets in a candidate, (B,) -> (B, D): itself where that is the anchor."""
        others = self.candidates[chosen]
        if not self.second or self.named is None:
            return others
        return jnp.where(self.own(chosen)[:, None], self.rows, others)

    def own(self, chosen: Array) -> Array:
        """Return whether the chosen candidate is the anchor, (B,) -> (B,)."""
        if not self.second:
            return chosen == jnp.arange(self.rows.shape[0])
        if self.named is None:
            return jnp.zeros(chosen.shape, bool)
        return chosen == jnp.asarray(self.named).astype(chosen.dtype)


def as_sets(
    embeddings: Input,
    labels: Input,
    mask: Input | None,
    candidates: Input | None = None,
    candidate_labels: Input | None = None,
    candidate_mask: Input | None = None,
    candidate_index: Input | None = None,
) -> Sets:
    """Check a batch and its second set; return both in the arithmetic's dtype, masked rows as zeros.

    Labels, masks and indices in the host's memory stay there.
    """
    labels, rows = batch(mask, labels, beside=() if candidates is None else (candidates,), embeddings=embeddings)
    given = {
        "candidates": candidates,
        "candidate_labels": candidate_labels,
        "candidate_mask": candidate_mask,
        "candidate_index": candidate_index,
    }
    check_candidates({name: value is not None for name, value in given.items()})  # PW-13
    if candidates is None or candidate_labels is None:
        labels, mask, rows = whole(labels, mask, rows)
        return Sets(rows, labels, mask, rows, labels, mask, count=rows.shape[0])
    (shape, dtype), like = describe("candidates", candidates), describe("embeddings", embeddings)[1]
    check_table("candidates", shape, dtype, "embeddings", rows.shape[-1], like, empty=True)  # PW-13
    refuse_truncation("candidates", dtype)
    count = shape[0]
    check_labels("candidate_labels", *describe("candidate_labels", candidate_labels), count)
    if candidate_mask is not None:
        check_mask("candidate_mask", *describe("candidate_mask", candidate_mask), (count,))
        # before any other operation, as in `arrays.rows`
        candidates = jnp.where(jnp.asarray(candidate_mask)[:, None], candidates, 0)  # CV-8, CV-9
    index, wild = (None, None) if candidate_index is None else _named(candidate_index, mask, rows.shape[0], count)
    names = identities("candidate_labels", candidate_labels, candidate_mask)
    second = [jnp.asarray(candidates, rows.dtype), names, candidate_mask]
    if isinstance(count, int) and count == 0:
        second = [jnp.zeros((1, rows.shape[-1]), rows.dtype), np.zeros(1, np.int32), np.zeros(1, bool)]
    rows, labels, mask = whole(rows, labels, mask)
    others, names, chosen, index, wild = whole(*second, index, wild)
    return Sets(rows, labels, mask, others, names, chosen, index, wild, second=True, count=count)


def _named(index: Input, mask: Input | None, rows: int, count: Any) -> tuple[Input, Array | None]:
    """Return the candidate that is the anchor itself, and, unless it was read, whether there is no such one: PW-14."""
    check_candidate_index(*describe("candidate_index", index), rows)
    own, part = at_hand(index), None if mask is None else at_hand(mask)
    if isinstance(own, np.ndarray) and (part is None or isinstance(part, np.ndarray)) and isinstance(count, int):
        seen = own if part is None else own[part]
        if seen.size:
            check_index_range(int(seen.min()), int(seen.max()), count)
        own = narrow(own)
        return own if part is None else np.where(part, own, np.int32(-1)), None
    own = jnp.asarray(narrow(own))
    if part is not None:
        own = jnp.where(part, own, -1)
    return own, (own < -1) | (own >= count)
