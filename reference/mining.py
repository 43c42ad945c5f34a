"""Mining (spec/mining.md): which triplets there are, how hard they are, and random draws among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from lossproof.reference.distances import metric
from lossproof.reference.inputs import as_batch, as_rows, described
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    KINDS,
    check_choice,
    check_count,
    check_kinds,
    check_labels,
    check_mask,
    check_real,
    check_same,
    refuse_labels,
    refuse_type,
)


def triplet_masks(labels: ArrayLike, *, mask: ArrayLike | None = None) -> tuple[Array, Array]:
    """Return which pairs of rows may be (anchor, positive), and which (anchor, negative).

    ``positive[a, p] = a != p and labels[a] == labels[p]``, ``negative[a, n] = labels[a] != labels[n]``.

    Args:
        labels: integers of shape (B,), compared as integers.
        mask: booleans of shape (B,); a row with False is in no pair, and its label is not looked at.

    Returns:
        Two boolean arrays of shape (B, B).

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-1 to MI-3.
    """
    y = _labels(labels)
    same = y[:, None] == y[None, :]
    both = ~np.eye(len(y), dtype=bool)
    if mask is not None:
        takes_part = np.asarray(mask)
        check_mask("mask", takes_part.shape, takes_part.dtype.name, y.shape)
        both &= takes_part[:, None] & takes_part[None, :]  # MI-3
    return same & both, ~same & both  # MI-1, MI-2


def classify_triplets(d_ap: ArrayLike, d_an: ArrayLike, *, margin: float) -> Array:
    """Return how hard each triplet is: 0 easy, 1 semi-hard, 2 hard, -1 where a distance is NaN.

    Easy: ``d_ap + margin <= d_an`` (its loss is 0); hard: ``d_an <= d_ap`` and not easy; semi-hard: the others.

    Args:
        d_ap: distances of anchor and positive, any shape, any float dtype.
        d_an: distances of anchor and negative, same shape.
        margin: in the unit of the distances, [0, inf).

    Returns:
        Integer codes of the same shape.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-4 to MI-8.
    """
    check_same(described(d_ap=d_ap, d_an=d_an))  # MI-8
    check_real("margin", margin, 0)
    ap, an = as_rows(d_ap=d_ap, d_an=d_an)
    with np.errstate(invalid="ignore"):
        hard = np.where(an <= ap, 2, 1)  # MI-6, MI-5
        code = np.where(float(margin) + ap <= an, 0, hard)  # MI-4
    return np.asarray(np.where(np.isnan(ap) | np.isnan(an), -1, code))  # MI-7


def sample_triplets(labels: ArrayLike, n: int, rng: Generator) -> Array:
    """Return n triplets, drawn independently and uniformly among all triplets of the labels.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more.
        rng: the random state.

    Returns:
        Indices (anchor, positive, negative) of shape (n, 3).

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no triplet.

    Clauses MI-9, MI-10, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw(n, rng)
    size = np.count_nonzero(y[:, None] == y, axis=1)  # K of each row's identity
    others = len(y) - size
    count = (size - 1) * others  # triplets of each anchor
    if n and not count.sum():
        refuse_labels("a triplet: two rows of one identity and one of another", len(set(y.tolist())), len(y))  # MI-14
    if not n:
        return np.zeros((0, 3), int)
    # Number the triplets by anchor, then positive, then negative; draw numbers; decode them: MI-10
    anchor, rest = _decode(rng.integers(count.sum(), size=n), count)
    same = y[anchor][:, None] == y
    positive = same & (anchor[:, None] != np.arange(len(y)))
    drawn = [anchor, _nth(positive, rest // others[anchor]), _nth(~same, rest % others[anchor])]
    return np.stack(drawn, axis=1)  # MI-9


def sample_pairs(labels: ArrayLike, n: int, rng: Generator) -> tuple[Array, Array]:
    """Return n pairs, similar and dissimilar in turn, each drawn uniformly among all ordered pairs of its kind.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more.
        rng: the random state.

    Returns:
        Indices of shape (n, 2), and `dissimilar`, booleans of shape (n,): False, True, False, ...

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no pair of a kind to draw.

    Clauses MI-11, MI-12, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw(n, rng)
    same = y[:, None] == y
    dissimilar = np.arange(n) % 2 == 1  # MI-11
    pairs = np.zeros((n, 2), int)
    for kind, members in ((False, same & ~np.eye(len(y), dtype=bool)), (True, ~same)):
        rows = np.flatnonzero(dissimilar == kind)
        total = np.count_nonzero(members)
        if rows.size and not total:
            refuse_labels(f"a {'dis' * kind}similar pair", len(set(y.tolist())), len(y))  # MI-14
        if rows.size:
            pairs[rows] = np.argwhere(members)[rng.integers(total, size=rows.size)]  # MI-12
    return pairs, dissimilar


def sample_active(terms: ArrayLike, n: int, rng: Generator) -> Array:
    """Return n indices of positive terms, drawn independently and uniformly; all -1 where no term is positive.

    Args:
        terms: losses of shape (N,), any float dtype; NaN is not positive.
        n: the number of draws, 0 or more.
        rng: the random state.

    Returns:
        Indices of shape (n,).

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-13, MI-20 to MI-22.
    """
    check_same(described(terms=terms))
    (values,) = as_rows(terms=terms)
    if values.ndim != 1:
        raise ValueError(f"terms must have shape (N,), got {values.shape}")
    _check_draw(n, rng)
    active = np.flatnonzero(values > 0)
    return active[rng.integers(active.size, size=n)] if active.size else np.full(n, -1)  # MI-13


def sample_negatives(
    embeddings: ArrayLike,
    labels: ArrayLike,
    rng: Generator,
    *,
    margin: float,
    kinds: Sequence[str] = ("semi_hard",),
    distance: str = "squared_euclidean",
    mask: ArrayLike | None = None,
    size: int | None = None,
) -> tuple[Array, Array, Array]:
    """Return one triplet for each positive pair: a negative drawn uniformly among those of the chosen kinds.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        rng: the random state.
        margin: in the unit of the distance, [0, inf).
        kinds: one or more of "easy", "semi_hard" and "hard", as `classify_triplets` has them.
        distance: "euclidean", "squared_euclidean" or "cosine".
        mask: booleans of shape (B,); True takes part.
        size: the length of the result; without it, the number of picks.

    Returns:
        Indices (a, p, n) of the triplets, three arrays of one length, ordered by a, then p. With `size`, -1 fills up,
        and of too many picks a uniform subset is kept.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-15 to MI-22.
    """
    y, takes_part, rows = as_batch(labels, mask, embeddings=embeddings)
    check_real("margin", margin, 0)
    check_kinds(kinds)
    check_choice("distance", distance, ("euclidean", "squared_euclidean", "cosine"))
    _check_rng(rng)
    if size is not None:
        check_count("size", size)
    positive, negative = triplet_masks(y, mask=takes_part)  # MI-19
    pairwise = metric(distance, 2.0, 0.0, "difference")  # MI-17
    with np.errstate(all="ignore"):
        left, right = np.broadcast_arrays(rows[:, None], rows[None, :])
        d = pairwise(left, right).value  # (a, other)
    picks = []
    for a, p in np.argwhere(positive):  # MI-15
        codes = classify_triplets(np.full(len(y), d[a, p]), d[a], margin=margin)
        chosen = np.flatnonzero(negative[a] & np.isin(codes, [KINDS.index(kind) for kind in kinds]))
        if chosen.size:
            picks.append((a, p, rng.choice(chosen)))  # MI-16
    found = np.array(picks, int).reshape(-1, 3)
    if size is not None:
        kept = np.sort(rng.choice(len(found), size, replace=False)) if len(found) > size else np.arange(len(found))
        found = np.concatenate([found[kept], np.full((size - len(kept), 3), -1)])  # MI-18
    return found[:, 0], found[:, 1], found[:, 2]


def _labels(labels: ArrayLike) -> Array:
    """Check labels and return them."""
    y = np.asarray(labels)
    check_labels("labels", y.shape, y.dtype.name, y.size)
    return y


def _check_rng(rng: object) -> None:
    if not isinstance(rng, Generator):
        refuse_type("rng", "be a numpy.random.Generator", rng)  # MI-21, MI-22


def _check_draw(n: object, rng: object) -> None:
    check_count("n", n)
    _check_rng(rng)


def _decode(numbers: Array, count: Array) -> tuple[Array, Array]:
    """Return the group of each number and its place there, where groups of `count` numbers follow each other."""
    ends = np.cumsum(count)
    group = np.searchsorted(ends, numbers, side="right")
    return group, numbers - (ends - count)[group]


def _nth(members: Array, place: Array) -> Array:
    """Return, for each row of booleans, the index of its True at `place`, counted from 0."""
    return np.asarray(np.argmax(members & (np.cumsum(members, axis=1) == place[:, None] + 1), axis=1))
