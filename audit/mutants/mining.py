"""Broken masks and kinds of triplets in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from audit.mutants import Mutant, table
from audit.mutants.legal import legal
from lossproof.conformance.host.arrays import Array


class Masks:
    """`triplet_masks`."""

    def __call__(self, labels: Array, mask: Any = None) -> tuple[Array, Array]:
        """Return positives and negatives."""
        same = self.same(labels)
        both = self.both(np.ones(len(labels), bool) if mask is None else mask)
        return self.positive(same) & both, self.negative(same) & both

    def same(self, labels: Array) -> Array:
        """Return which rows have one label."""
        return np.asarray(labels[:, None] == labels)

    def both(self, mask: Array) -> Array:
        """Return the pairs whose rows take part."""
        return mask[:, None] & mask

    def positive(self, same: Array) -> Array:
        """Return the pairs of two rows with one label."""
        return same & ~np.eye(len(same), dtype=bool)

    def negative(self, same: Array) -> Array:
        """Return the pairs of two labels."""
        return ~same


class Kinds:
    """`classify_triplets`."""

    def __call__(self, d_ap: Array, d_an: Array, *, margin: float) -> Array:
        """Return the codes."""
        self.check(d_ap, d_an)
        code = np.where(self.easy(d_ap, d_an, margin), 0, np.where(self.hard(d_ap, d_an), 2, 1))
        return self.given(np.where(self.unknown(d_ap, d_an), -1, code))

    def check(self, d_ap: Array, d_an: Array) -> None:
        """Refuse two shapes."""
        if d_ap.shape != d_an.shape:
            raise ValueError(f"d_an has shape {d_an.shape}, expected that of d_ap, {d_ap.shape}")

    def easy(self, ap: Array, an: Array, margin: float) -> Array:
        """Return where the loss is 0."""
        return margin + ap <= an

    def hard(self, ap: Array, an: Array) -> Array:
        """Return where the negative is not further than the positive."""
        return an <= ap

    def unknown(self, ap: Array, an: Array) -> Array:
        """Return where there is no kind."""
        return np.isnan(ap) | np.isnan(an)

    def given(self, code: Array) -> Array:
        """Return the codes as they are given back."""
        return code


def _masks(key: str, bug: str, *names: str, seen: str = "", **methods: Any) -> Mutant:
    return Mutant(
        key,
        bug,
        names,
        legal("triplet_masks", type(key, (Masks,), methods)(), methods),
        seen,
        loss="triplet_masks",
        framework="numpy",
    )


def _kinds(key: str, bug: str, *names: str, seen: str = "", **methods: Any) -> Mutant:
    return Mutant(
        key,
        bug,
        names,
        legal("classify_triplets", type(key, (Kinds,), methods)(), methods),
        seen,
        loss="classify_triplets",
        framework="numpy",
    )


MUTANTS = table(
    _masks("mi-self", "a row is its own positive", "MI-1", seen="masks without the diagonal removed", positive=lambda s, same: same),
    _masks("mi-above", "pairs above the diagonal alone are positive", "MI-1", positive=lambda s, same: np.triu(same, 1)),
    _masks("mi-numbers", "the masks are numbers", "MI-1", seen="masks cast for a product", both=lambda s, mask: Masks.both(s, mask).astype(int)),
    _masks("mi-not-positive", "every pair that is not positive is negative, a row with itself too", "MI-1", "MI-2", seen="~positive", negative=lambda s, same: ~s.positive(same)),
    _masks("mi-float-labels", "labels are compared in float32", "MI-2", "MI-1", seen="Keras hands labels over as floats", same=lambda s, y: Masks.same(s, y.astype(np.float32))),
    _masks("mi-narrow-labels", "labels are compared as int32", "CV-32", "MI-1", "MI-2", seen="jax without 64 bits cuts labels off", same=lambda s, y: Masks.same(s, y.astype(np.int32))),
    _masks("mi-double-labels", "labels are compared in float64", "CV-32", "MI-1", "MI-2", seen="cdist of the labels", same=lambda s, y: Masks.same(s, y.astype(np.float64))),
    _masks("mi-mask-ignored", "rows that are masked out take part", "MI-3", both=lambda s, mask: np.ones((len(mask),) * 2, bool)),
    _masks("mi-mask-of-anchors", "the mask is looked at for anchors alone", "MI-3", both=lambda s, mask: np.broadcast_to(mask[:, None], (len(mask),) * 2)),
    _kinds("mi-strictly-easy", "a triplet at the margin is semi-hard", "MI-4", seen="pytorch-metric-learning's miners", easy=lambda s, ap, an, m: (m + ap < an) | ((m == 0) & (ap == an))),
    _kinds("mi-no-margin", "easy is what has the negative further than the positive", "MI-4", "MI-5", easy=lambda s, ap, an, m: ap < an),
    _kinds("mi-squared-margin", "the margin is squared", "MI-4", "MI-5", easy=lambda s, ap, an, m: m * m + ap <= an),
    _kinds("mi-half-margin", "semi-hard reaches to half the margin", "MI-5", easy=lambda s, ap, an, m: m / 2 + ap <= an),
    _kinds("mi-tie-semi-hard", "a tie of the distances is semi-hard", "MI-6", seen="strict inequality of S8", hard=lambda s, ap, an: an < ap),
    _kinds("mi-tie-hard", "with margin 0 a tie is hard", "MI-6", easy=lambda s, ap, an, m: (m + ap <= an) & (an > ap)),
    _kinds("mi-single-margin", "the margin is rounded to float32 for float64 too", "MI-4", seen="torch.tensor(margin)", easy=lambda s, ap, an, m: float(np.float32(m)) + ap <= an),
    _kinds("mi-nearly-tied", "distances within 1e-7 of each other are tied", "MI-4", "MI-6", seen="a tolerance", hard=lambda s, ap, an: an - ap <= 1e-7),
    _kinds("mi-nan-hard", "a NaN distance is hard", "MI-7", unknown=lambda s, ap, an: np.zeros(ap.shape, bool), hard=lambda s, ap, an: ~(an > ap)),
    _kinds("mi-nan-of-negative", "a NaN is looked for among the negatives alone", "MI-7", unknown=lambda s, ap, an: np.isnan(an)),
    _kinds("mi-float-codes", "the codes are floats", "MI-8", given=lambda s, code: code.astype(float)),
    _kinds("mi-broadcast", "distances of two shapes are broadcast", "MI-8", check=lambda s, ap, an: None),
)  # fmt: skip

CORRECT = {"triplet_masks": legal("triplet_masks", Masks()), "classify_triplets": legal("classify_triplets", Kinds())}
__all__ = ["CORRECT", "MUTANTS"]
