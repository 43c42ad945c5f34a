"""The terms of a batch whose triplets are mined, in every way of mining that is recognised; values alone.

A way is a word: those of the three pages, and those that libraries have besides. Each gives terms (B,) or (B, B) or
(B, B, B), and which of them take part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.identify.formulas import Batch, Options, distance, hinge, kind_of

Pairs = tuple[Array, Array, Array]  # distances, which are positive, which are negative
Gaps = tuple[Array, Array]  # d(a, p) - d(a, n) of each term, and which terms take part


def terms(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return the terms of a batch, and which take part."""

    def mined() -> Gaps:
        rows, labels = inputs["embeddings"], inputs["labels"]
        d = distance(rows[:, None], rows[None], o)
        same = labels[:, None] == labels
        with np.errstate(invalid="ignore"):
            return WAYS[o["way"]]((d, same & ~np.eye(len(labels), dtype=bool), ~same))

    gap, part = inputs.once((*kind_of(o), o["way"]), mined)
    margin = o.get("margin", 0.0)
    if o["way"] == "semi-hard within the margin":
        part = part & (gap < 0) & (-gap <= margin)
    return hinge(margin + (-gap if o.get("sign") == "flipped" else gap), o), part


def _all(pairs: Pairs) -> Gaps:
    d, positive, negative = pairs
    return d[:, :, None] - d[:, None, :], positive[:, :, None] & negative[:, None, :]


def _hard(pairs: Pairs) -> Gaps:
    d, positive, negative = pairs
    far = np.max(np.where(positive, d, -np.inf), axis=1, initial=-np.inf)
    near = np.min(np.where(negative, d, np.inf), axis=1, initial=np.inf)
    return _valid(far, near)


def _anchor_counts(pairs: Pairs) -> Gaps:
    d, positive, negative = pairs
    return _hard((d, positive | np.eye(len(d), dtype=bool), negative))


def _hardest_positive(pairs: Pairs) -> Gaps:
    d, positive, negative = pairs
    far = np.max(np.where(positive, d, -np.inf), axis=1, initial=-np.inf)
    beyond = negative & (d > far[:, None])
    near = np.min(np.where(beyond, d, np.inf), axis=1, initial=np.inf)
    farthest = np.max(np.where(negative, d, -np.inf), axis=1, initial=-np.inf)
    return _valid(far, np.where(np.isfinite(near), near, farthest))


def _easy_positive(pairs: Pairs) -> Gaps:
    d, positive, negative = pairs
    easy = np.min(np.where(positive, d, np.inf), axis=1, initial=np.inf)
    beyond = negative & (d > easy[:, None])
    near = np.min(np.where(beyond, d, np.inf), axis=1, initial=np.inf)
    return _valid(easy, near)


def _weighted(pairs: Pairs) -> Gaps:
    """Return the means of the distances, weighted by the softmax of what is mined: far positives, near negatives."""
    d, positive, negative = pairs
    valid = np.asarray(positive.any(axis=1) & negative.any(axis=1))
    means = []
    for kept, sign in ((positive, 1.0), (negative, -1.0)):
        power = np.where(kept, sign * d, -np.inf)
        weights = np.exp(power - np.max(power, axis=1, initial=-1e300, keepdims=True))
        means.append(np.sum(weights * np.where(kept, d, 0.0), axis=1) / np.maximum(weights.sum(axis=1), 1e-300))
    return np.where(valid, means[0] - means[1], 0.0), valid


def _weighted_with_the_anchor(pairs: Pairs) -> Gaps:
    d, positive, negative = pairs
    return _weighted((d, positive | np.eye(len(d), dtype=bool), negative))


def _valid(far: Array, near: Array) -> Gaps:
    valid = np.isfinite(far) & np.isfinite(near)
    return np.where(valid, far, 0) - np.where(valid, near, 0), valid


def _semi_hard(fallback: str, *, strict: bool = True) -> Callable[[Pairs], Gaps]:
    def way(pairs: Pairs) -> Gaps:
        d, positive, negative = pairs
        farther = d[:, None, :] > d[:, :, None] if strict else d[:, None, :] >= d[:, :, None]
        nearest = np.min(np.where(farther & negative[:, None, :], d[:, None, :], np.inf), axis=2, initial=np.inf)
        any_negative = np.any(negative, axis=1, keepdims=True)
        if fallback == "farthest":
            other = np.max(np.where(negative, d, -np.inf), axis=1, initial=-np.inf)[:, None]
        else:
            other = np.min(np.where(negative, d, np.inf), axis=1, initial=np.inf)[:, None]
        found = np.isfinite(nearest)
        part = positive & any_negative & (found if fallback == "none" else True)
        chosen = np.where(found, nearest, np.where(np.isfinite(other), other, 0.0))
        return d - chosen, part

    return way


WAYS: dict[str, Callable[[Pairs], Gaps]] = {
    "all": _all,
    "hard": _hard,
    "hard, the anchor a positive": _anchor_counts,
    "semi-hard": _semi_hard("farthest"),
    "semi-hard without fallback": _semi_hard("none"),
    "semi-hard, else the nearest": _semi_hard("nearest"),
    "semi-hard, as far is far enough": _semi_hard("farthest", strict=False),
    "semi-hard within the margin": _all,
    "hardest positive": _hardest_positive,
    "easy positive": _easy_positive,
    "weighted by softmax": _weighted,
    "weighted by softmax, the anchor a positive": _weighted_with_the_anchor,
}
