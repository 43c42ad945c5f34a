"""Mining (spec/mining.md): which triplets there are, how hard they are, and random draws among them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from lossproof.backends.tensorflow.arrays import batch, describe, filled, number, real
from lossproof.backends.tensorflow.distances import row_distance
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.spec.arguments import (
    check_choice,
    check_count,
    check_kinds,
    check_labels,
    check_mask,
    check_same,
    refuse_labels,
    refuse_type,
)

_BLOCK = 2**22  # numbers held at once while pairwise distances are computed


@as_written
def triplet_masks(labels: tf.Tensor, *, mask: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which pairs of rows may be (anchor, positive), and which (anchor, negative).

    ``positive[a, p] = a != p and labels[a] == labels[p]``, ``negative[a, n] = labels[a] != labels[n]``.

    Args:
        labels: integers of shape (B,), compared as integers.
        mask: booleans of shape (B,); a row with False is in no pair, and its label is not looked at.

    Returns:
        Two boolean tensors of shape (B, B).

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-1 to MI-3.
    """
    if mask is not None:
        check_mask("mask", *describe("mask", mask), describe("labels", labels)[0])
    y = _labels(labels)
    same = tf.equal(y[:, tf.newaxis], y)
    both = ~tf.eye(tf.size(y), dtype=tf.bool)
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        both &= mask[:, tf.newaxis] & mask  # MI-3
    return same & both, ~same & both  # MI-1, MI-2


@as_written
def classify_triplets(d_ap: tf.Tensor, d_an: tf.Tensor, *, margin: float | tf.Tensor) -> tf.Tensor:
    """Return how hard each triplet is: 0 easy, 1 semi-hard, 2 hard, -1 where a distance is NaN.

    Easy: ``d_ap + margin <= d_an`` (its loss is 0); hard: ``d_an <= d_ap`` and not easy; semi-hard: the others.

    Args:
        d_ap: distances of anchor and positive, any shape; float16, bfloat16, float32 or float64.
        d_an: distances of anchor and negative, same shape and dtype.
        margin: in the unit of the distances, [0, inf); a tensor of shape () is used as it is and not checked.

    Returns:
        int32 codes of the same shape.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-4 to MI-8.
    """
    described = {"d_ap": describe("d_ap", d_ap), "d_an": describe("d_an", d_an)}
    check_same(described)  # MI-8
    margin = real("margin", margin, 0)
    dtype = tf.float64 if described["d_ap"][1] == "float64" else tf.float32
    ap, an = tf.cast(d_ap, dtype), tf.cast(d_an, dtype)
    code = 1 + tf.cast(an <= ap, tf.int32)  # MI-5, MI-6
    code = tf.where(number(margin, dtype) + ap <= an, 0, code)  # MI-4
    return tf.where(tf.math.is_nan(ap) | tf.math.is_nan(an), -1, code)  # MI-7


@as_written
def sample_triplets(labels: tf.Tensor, n: int, rng: tf.random.Generator) -> tf.Tensor:
    """Return n triplets, drawn independently and uniformly among all triplets of the labels.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more.
        rng: the random state.

    Returns:
        Indices (anchor, positive, negative), int64 of shape (n, 3).

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no triplet. That is read back from
            the device; in a tf.function nothing is, and every index is -1.

    Clauses MI-9, MI-10, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw(n, rng)
    triplet = "a triplet: two rows of one identity and one of another"
    _refuse_empty(n, triplet, y)
    order, first, size = _identities(y)
    others = tf.size(y, tf.int64) - size
    at, none = _draw_identity(_float(size) * _float(size - 1) * _float(others), first, n, rng)  # MI-10
    _refuse_none(none, n, triplet, y)
    first, size, others = (_at(run, at) for run in (first, size, others))
    anchor = _below(size, rng)
    places = [first + anchor, first + _other(anchor, size, rng), _foreign(first, size, others, rng)]
    return _rows(order, tf.stack(places, 1), none)  # MI-9, MI-14


@as_written
def sample_pairs(labels: tf.Tensor, n: int, rng: tf.random.Generator) -> tuple[tf.Tensor, tf.Tensor]:
    """Return n pairs, similar and dissimilar in turn, each drawn uniformly among all ordered pairs of its kind.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more.
        rng: the random state.

    Returns:
        Indices, int64 of shape (n, 2), and `dissimilar`, booleans of shape (n,): False, True, False, ...

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no pair of a kind to draw. That is
            read back from the device; in a tf.function nothing is, and the indices of that kind are -1.

    Clauses MI-11, MI-12, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw(n, rng)
    _refuse_empty(n, "a similar pair", y)
    order, first, size = _identities(y)
    others = tf.size(y, tf.int64) - size
    half = (n + 1) // 2
    at, none = _draw_identity(_float(size) * _float(size - 1), first, half, rng)  # MI-12
    _refuse_none(none, n, "a similar pair", y)
    start, members = _at(first, at), _at(size, at)
    anchor = _below(members, rng)
    similar = _rows(order, tf.stack([start + anchor, start + _other(anchor, members, rng)], 1), none)
    at, none = _draw_identity(_float(size) * _float(others), first, half, rng)
    _refuse_none(none, n - 1, "a dissimilar pair", y)
    start, members = _at(first, at), _at(size, at)
    other = _foreign(start, members, _at(others, at), rng)
    different = _rows(order, tf.stack([start + _below(members, rng), other], 1), none)
    pairs = tf.reshape(tf.stack([similar, different], 1), (-1, 2))[:n]  # MI-11
    return pairs, tf.equal(tf.range(n) % 2, 1)


@as_written
def sample_active(terms: tf.Tensor, n: int, rng: tf.random.Generator) -> tf.Tensor:
    """Return n indices of positive terms, drawn independently and uniformly; all -1 where no term is positive.

    Args:
        terms: losses of shape (N,); NaN is not positive.
        n: the number of draws, 0 or more.
        rng: the random state.

    Returns:
        Indices, int64 of shape (n,). Nothing is read back from the device. `tf.gather` takes no -1 on a CPU: gather at
        ``tf.maximum(index, 0)`` and leave those rows out with ``mask=index >= 0``.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-13, MI-20 to MI-22.
    """
    shape, dtype = describe("terms", terms)
    check_same({"terms": (shape, dtype)})
    if len(shape) != 1:
        raise ValueError(f"terms must have shape (N,), got {shape}")
    _check_draw(n, rng)
    positive = tf.convert_to_tensor(terms) > 0
    seen = tf.cumsum(tf.cast(positive, tf.int64))
    count = tf.math.count_nonzero(positive)
    index = tf.searchsorted(seen, _below(tf.fill((n,), count), rng), side="right", out_type=tf.int64)
    return tf.where(tf.equal(count, 0), tf.constant(-1, tf.int64), index)  # MI-13


@as_written
def sample_negatives(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    rng: tf.random.Generator,
    *,
    margin: float | tf.Tensor,
    kinds: Sequence[str] = ("semi_hard",),
    distance: str = "squared_euclidean",
    mask: tf.Tensor | None = None,
    size: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return one triplet for each positive pair: a negative drawn uniformly among those of the chosen kinds.

    O(B² log B) time and O(B²) memory: no B x B x B tensor.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,).
        rng: the random state.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked.
        kinds: one or more of "easy", "semi_hard" and "hard", as `classify_triplets` has them.
        distance: "euclidean", "squared_euclidean" or "cosine".
        mask: booleans of shape (B,); True takes part.
        size: the length of the result; without it, the number of picks, a shape that XLA does not know.

    Returns:
        Indices (a, p, n) of the triplets, int64, three tensors of one length, ordered by a, then p. With `size`, -1
        fills up, and of too many picks a uniform subset is kept. `tf.gather` takes no -1 on a CPU: gather at
        ``tf.maximum(a, 0)`` and leave those rows out with ``mask=a >= 0`` of the loss.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-15 to MI-22.
    """
    _, _, x = batch(mask, labels, embeddings=embeddings)
    x = tf.stop_gradient(x)
    margin = real("margin", margin, 0)
    check_kinds(kinds)
    check_choice("distance", distance, ("euclidean", "squared_euclidean", "cosine"))
    _check_rng(rng)
    if size is not None:
        check_count("size", size)
    positive, negative = triplet_masks(labels, mask=mask)  # MI-19
    d = _pairwise(x, distance)
    known = ~tf.math.is_nan(d)
    picked, choice = _choose(d, negative & known, number(margin, d.dtype), kinds, rng)
    picked &= positive & known  # MI-15, MI-19
    if size is None:
        at = tf.where(picked)
        return at[:, 0], at[:, 1], tf.gather_nd(choice, at)
    rows = tf.shape(x, tf.int64)[0]
    flat = tf.concat([tf.reshape(picked, (-1,)), tf.zeros((size,), tf.bool)], 0)
    priority = filled(rng.uniform(tf.shape(flat), dtype=tf.float64), ~flat, 2.0)
    at = tf.cast(tf.math.top_k(-priority, size).indices, tf.int64)
    at = tf.sort(tf.where(_at(flat, at), at, rows * rows))  # MI-18
    found = at < rows * rows
    n = _at(tf.concat([tf.reshape(choice, (-1,)), tf.zeros((1,), tf.int64)], 0), tf.where(found, at, 0))
    width = tf.maximum(rows, 1)
    a, p, n = (tf.where(found, i, tf.constant(-1, tf.int64)) for i in (at // width, at % width, n))
    return a, p, n


def _choose(
    d: tf.Tensor, negative: tf.Tensor, margin: tf.Tensor, kinds: Sequence[str], rng: tf.random.Generator
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return, for each (anchor, positive), whether its chosen set holds a negative, and one drawn from it.

    Each anchor's negatives are sorted once; the kinds of a pair are then three ranges of ranks.
    """
    far = filled(d, ~negative, d.dtype.max)  # which no distance reaches
    order = tf.argsort(far, axis=1, stable=True)
    ranked = tf.gather(far, order, batch_dims=1)
    total = tf.math.count_nonzero(negative, axis=1, keepdims=True)
    # MI-4: the rank of the first easy one
    easy = tf.minimum(tf.searchsorted(ranked, margin + d, out_type=tf.int64), total)
    semi = tf.minimum(tf.searchsorted(ranked, d, side="right", out_type=tf.int64), easy)  # MI-5, MI-6
    members = {"hard": semi, "semi_hard": easy - semi, "easy": total - easy}
    count = tf.add_n([members[kind] for kind in kinds])
    rank = _below(count, rng)  # MI-16
    if "hard" not in kinds:
        rank += semi
    if "semi_hard" not in kinds:
        rank = tf.where(rank >= semi, rank + easy - semi, rank)
    rank = tf.minimum(rank, tf.shape(d, tf.int64)[1] - 1)
    return count > 0, tf.cast(tf.gather(order, rank, batch_dims=1), tf.int64)


def _pairwise(x: tf.Tensor, distance: str) -> tf.Tensor:
    """Return the distances of all rows (B, B), from differences, a block of rows at a time: MI-17."""
    shape = tf.shape(x)
    rows, width = shape[0], shape[1]
    step = tf.maximum(1, tf.minimum(rows, _BLOCK // tf.maximum(rows * width, 1)))
    blocks = tf.reshape(tf.pad(x, [[0, -rows % step], [0, 0]]), (-1, step, width))
    d = tf.map_fn(lambda block: row_distance(block[:, tf.newaxis], x, distance, 2.0, 0.0, "difference"), blocks)
    return tf.reshape(d, (-1, rows))[:rows]


def _labels(labels: tf.Tensor) -> tf.Tensor:
    """Check labels and return them as a tensor."""
    shape, dtype = describe("labels", labels)
    check_labels("labels", shape, dtype, shape[0] if shape else None)
    return tf.convert_to_tensor(labels)


def _check_rng(rng: object) -> None:
    if not isinstance(rng, tf.random.Generator):
        refuse_type("rng", "be a tf.random.Generator", rng)  # MI-21, MI-22


def _check_draw(n: object, rng: object) -> None:
    check_count("n", n)
    _check_rng(rng)


def _refuse_empty(n: int, expectation: str, y: tf.Tensor) -> None:
    if n > 0 and y.shape[0] == 0:
        refuse_labels(expectation, 0, 0)  # MI-14


def _refuse_none(none: tf.Tensor, n: int, expectation: str, y: tf.Tensor) -> None:
    if n > 0 and tf.executing_eagerly() and bool(none):
        refuse_labels(expectation, len(tf.unique(y).y), len(y))  # MI-14


def _identities(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the order that sorts the labels, and for each sorted place the first of its identity and their number."""
    order = tf.cast(tf.argsort(y, stable=True), tf.int64)
    y = tf.cast(_at(y, order), tf.int64)
    first = tf.searchsorted(y, y, out_type=tf.int64)
    return order, first, tf.searchsorted(y, y, side="right", out_type=tf.int64) - first


def _at(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    return tf.gather(values, places)


def _float(size: tf.Tensor) -> tf.Tensor:
    return tf.cast(size, tf.float64)


def _below(count: tf.Tensor, rng: tf.random.Generator) -> tf.Tensor:
    """Return integers drawn uniformly from 0 to count - 1; 0 where count is 0."""
    return tf.cast(rng.uniform(tf.shape(count), dtype=tf.float64) * _float(count), tf.int64)


def _draw_identity(
    weight: tf.Tensor, first: tf.Tensor, n: int, rng: tf.random.Generator
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the first sorted places of n identities drawn with the given weights, and whether all weights are 0."""
    weight = filled(weight, tf.not_equal(first, tf.range(tf.size(first, tf.int64))), 0.0)
    at = tf.argsort(weight, direction="DESCENDING")  # an identity of weight 0 comes last and is never drawn
    total = tf.cumsum(_at(weight, at))
    drawn = tf.searchsorted(total, rng.uniform((n,), dtype=tf.float64) * tf.reduce_sum(weight), side="right")
    possible = tf.math.count_nonzero(weight > 0, dtype=tf.int32)
    return _at(at, tf.minimum(drawn, tf.maximum(possible - 1, 0))), tf.equal(possible, 0)


def _rows(order: tf.Tensor, places: tf.Tensor, none: tf.Tensor) -> tf.Tensor:
    """Return the rows at sorted places, or -1 where there was nothing to draw: MI-14."""
    return tf.where(none, tf.constant(-1, tf.int64), _at(order, tf.minimum(places, tf.size(order, tf.int64) - 1)))


def _other(anchor: tf.Tensor, size: tf.Tensor, rng: tf.random.Generator) -> tf.Tensor:
    """Return another place among `size` ones than `anchor`, uniformly."""
    other = _below(tf.maximum(size - 1, 0), rng)
    return other + tf.cast(other >= anchor, tf.int64)


def _foreign(first: tf.Tensor, size: tf.Tensor, others: tf.Tensor, rng: tf.random.Generator) -> tf.Tensor:
    """Return a sorted place outside of the identity that starts at `first`, uniformly."""
    other = _below(others, rng)
    return tf.where(other >= first, other + size, other)
