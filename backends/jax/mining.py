"""Mining (spec/mining.md): which triplets there are, how hard they are, and random draws among them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, batch, describe, in_dtype, real, refuse_wrapping
from lossproof.backends.jax.distances import row_distance
from lossproof.spec.arguments import (
    KINDS,
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


def triplet_masks(labels: Input, *, mask: Input | None = None) -> tuple[Array, Array]:
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
    if mask is not None:
        check_mask("mask", *describe("mask", mask), describe("labels", labels)[0])
    y = _labels(labels)
    same = y[:, None] == y[None]
    both = ~jnp.eye(y.shape[0], dtype=bool)
    if mask is not None:
        both = both & jnp.asarray(mask)[:, None] & mask[None]  # MI-3
    return same & both, ~same & both  # MI-1, MI-2


def classify_triplets(d_ap: Input, d_an: Input, *, margin: float | Array) -> Array:
    """Return how hard each triplet is: 0 easy, 1 semi-hard, 2 hard, -1 where a distance is NaN.

    Easy: ``d_ap + margin <= d_an`` (its loss is 0); hard: ``d_an <= d_ap`` and not easy; semi-hard: the others.

    Args:
        d_ap: distances of anchor and positive, any shape; float16, bfloat16, float32 or float64.
        d_an: distances of anchor and negative, same shape and dtype.
        margin: in the unit of the distances, [0, inf); may be traced.

    Returns:
        int32 codes of the same shape.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-4 to MI-8.
    """
    described = {"d_ap": describe("d_ap", d_ap), "d_an": describe("d_an", d_an)}
    check_same(described)  # MI-8
    dtype = _arithmetic("d_ap", described["d_ap"][1])
    margin = in_dtype(real("margin", margin, 0), dtype)
    ap, an = jnp.asarray(d_ap, dtype), jnp.asarray(d_an, dtype)
    hard = jnp.where(an <= ap, 2, 1)  # MI-5, MI-6
    code = jnp.where(margin + ap <= an, 0, hard)  # MI-4
    return jnp.where(jnp.isnan(ap) | jnp.isnan(an), -1, code).astype(jnp.int32)  # MI-7


def sample_triplets(labels: Input, n: int, rng: Array) -> Array:
    """Return n triplets, drawn independently and uniformly among all triplets of the labels.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more; static under jit.
        rng: a key.

    Returns:
        Indices (anchor, positive, negative), integers of shape (n, 3).

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no triplet. That is read back from
            the device; under jit nothing is, and every index is -1.

    Clauses MI-9, MI-10, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw("n", n, rng)
    triplet = "a triplet: two rows of one identity and one of another"
    if not y.size or not n:
        return _empty(n, triplet, (n, 3))
    triplets: Array
    triplets, none = _draw_triplets(y, n, rng)
    _refuse_none(none, triplet, y)
    return triplets


@partial(jax.jit, static_argnums=1)
def _draw_triplets(y: Array, n: int, rng: Array) -> tuple[Array, Array]:
    keys = jax.random.split(rng, 4)
    order, first, size = _identities(y)
    others = len(y) - size
    at, none = _draw_identity(_float(size) * (size - 1) * others, first, n, keys[0])  # MI-10
    first, size, others = first[at], size[at], others[at]
    anchor = _below(size, keys[1])
    places = [first + anchor, first + _other(anchor, size, keys[2]), _foreign(first, size, others, keys[3])]
    return jnp.where(none, -1, order[jnp.stack(places, 1)]), none  # MI-9, MI-14


def sample_pairs(labels: Input, n: int, rng: Array) -> tuple[Array, Array]:
    """Return n pairs, similar and dissimilar in turn, each drawn uniformly among all ordered pairs of its kind.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more; static under jit.
        rng: a key.

    Returns:
        Indices of shape (n, 2), and `dissimilar`, booleans of shape (n,): False, True, False, ...

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no pair of a kind to draw. That is
            read back from the device; under jit nothing is, and the indices of that kind are -1.

    Clauses MI-11, MI-12, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw("n", n, rng)
    dissimilar = jnp.arange(n) % 2 == 1  # MI-11
    if not y.size or not n:
        return _empty(n, "a similar pair", (n, 2)), dissimilar
    pairs, (no_similar, no_dissimilar) = _draw_pairs(y, (n + 1) // 2, rng)
    _refuse_none(no_similar, "a similar pair", y)
    if n > 1:
        _refuse_none(no_dissimilar, "a dissimilar pair", y)
    return pairs[:n], dissimilar


@partial(jax.jit, static_argnums=1)
def _draw_pairs(y: Array, half: int, rng: Array) -> tuple[Array, tuple[Array, Array]]:
    keys = jax.random.split(rng, 6)
    order, first, size = _identities(y)
    others = len(y) - size
    at, no_similar = _draw_identity(_float(size) * (size - 1), first, half, keys[0])  # MI-12
    anchor = _below(size[at], keys[1])
    similar = first[at, None] + jnp.stack([anchor, _other(anchor, size[at], keys[2])], 1)
    at, no_dissimilar = _draw_identity(_float(size) * others, first, half, keys[3])
    anchor = first[at] + _below(size[at], keys[4])
    different = jnp.stack([anchor, _foreign(first[at], size[at], others[at], keys[5])], 1)
    pairs = [jnp.where(no_similar, -1, order[similar]), jnp.where(no_dissimilar, -1, order[different])]
    return jnp.stack(pairs, 1).reshape(-1, 2), (no_similar, no_dissimilar)


def sample_active(terms: Input, n: int, rng: Array) -> Array:
    """Return n indices of positive terms, drawn independently and uniformly; all -1 where no term is positive.

    Args:
        terms: losses of shape (N,); NaN is not positive.
        n: the number of draws, 0 or more; static under jit.
        rng: a key.

    Returns:
        Indices, integers of shape (n,). Nothing is read back from the device.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-13, MI-20 to MI-22.
    """
    shape, dtype = describe("terms", terms)
    check_same({"terms": (shape, dtype)})
    if len(shape) != 1:
        raise ValueError(f"terms must have shape (N,), got {shape}")
    _check_draw("n", n, rng)
    return _draw_active(jnp.asarray(terms), n, rng) if shape[0] else _empty(0, "", (n,))


@partial(jax.jit, static_argnums=1)
def _draw_active(terms: Array, n: int, rng: Array) -> Array:
    seen = jnp.cumsum(terms > 0)
    index = jnp.searchsorted(seen, _below(jnp.full(n, seen[-1]), rng), side="right")
    return jnp.where(seen[-1] == 0, -1, index)  # MI-13


def sample_negatives(
    embeddings: Input,
    labels: Input,
    rng: Array,
    *,
    margin: float | Array,
    kinds: Sequence[str] = ("semi_hard",),
    distance: str = "squared_euclidean",
    mask: Input | None = None,
    size: int | None = None,
) -> tuple[Array, Array, Array]:
    """Return one triplet for each positive pair: a negative drawn uniformly among those of the chosen kinds.

    O(B² log B) time and O(B²) memory: no B x B x B array. Under jit `kinds`, `distance` and `size` are static.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,).
        rng: a key.
        margin: in the unit of the distance, [0, inf); may be traced.
        kinds: one or more of "easy", "semi_hard" and "hard", as `classify_triplets` has them.
        distance: "euclidean", "squared_euclidean" or "cosine".
        mask: booleans of shape (B,); True takes part.
        size: the length of the result; without it, the number of picks, which is read back from the device and is an
            error under jit and vmap.

    Returns:
        Indices (a, p, n) of the triplets, three arrays of one length, ordered by a, then p. With `size`, -1 fills up
        (leave it out with ``mask=a >= 0`` of the loss), and of too many picks a uniform subset is kept.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-15 to MI-22.
    """
    _, x = batch(mask, labels, embeddings=embeddings)
    x = stop_gradient(x)
    margin = in_dtype(real("margin", margin, 0), x.dtype)
    check_kinds(kinds)
    check_choice("distance", distance, ("euclidean", "squared_euclidean", "cosine"))
    _check_draw("size", 0 if size is None else size, rng)
    positive, negative = triplet_masks(labels, mask=mask)  # MI-19
    if not x.shape[0]:
        return (_empty(0, "", (size or 0,)),) * 3
    chosen = np.array([kind in kinds for kind in KINDS])
    picked, choice = _draw_negatives(x, positive, negative, margin, chosen, distance, rng)
    if size is not None:
        a, p, n = _packed(picked, choice, size, rng)
        return a, p, n
    if isinstance(picked, jax.core.Tracer):
        raise ValueError("size must be given under jit and vmap, where shapes are static, got None")  # MI-18
    a, p = jnp.nonzero(picked)
    return a, p, choice[a, p]


@partial(jax.jit, static_argnums=5)
def _draw_negatives(
    x: Array, positive: Array, negative: Array, margin: float | Array, chosen: Array, distance: str, rng: Array
) -> tuple[Array, Array]:
    """Return which pairs (a, p) have a pick, and the negative picked."""
    d = _pairwise(x, distance)
    known = ~jnp.isnan(d)
    picked, choice = _choose(d, negative & known, margin, chosen, jax.random.fold_in(rng, 0))
    return picked & positive & known, choice  # MI-15, MI-19


@partial(jax.jit, static_argnums=2)
def _packed(picked: Array, choice: Array, size: int, rng: Array) -> tuple[Array, Array, Array]:
    """Return `size` of the picks as index arrays, filled up with -1: MI-18."""
    rows = len(picked)
    flat = jnp.concatenate([picked.ravel(), jnp.zeros(size, bool)])
    priority = jnp.where(flat, jax.random.uniform(jax.random.fold_in(rng, 1), flat.shape), 2)
    at = jax.lax.top_k(-priority, size)[1]
    at = jnp.sort(jnp.where(flat[at], at, rows * rows))
    found = at < rows * rows
    a, p = jnp.where(found, at // rows, 0), at % rows
    return jnp.where(found, a, -1), jnp.where(found, p, -1), jnp.where(found, choice[a, p], -1)


def _choose(d: Array, negative: Array, margin: float | Array, chosen: Array, key: Array) -> tuple[Array, Array]:
    """Return, for each (anchor, positive), whether its chosen set holds a negative, and one drawn from it.

    Each anchor's negatives are sorted once; the kinds of a pair are then three ranges of ranks.
    """
    far = jnp.where(negative, d, float(np.finfo(d.dtype).max))  # no distance is as large
    order = jnp.argsort(far, axis=1)
    ranked = jnp.take_along_axis(far, order, 1)
    total = jnp.sum(negative, 1, keepdims=True)
    easy = jnp.minimum(jax.vmap(jnp.searchsorted)(ranked, margin + d), total)  # MI-4: the rank of the first easy one
    closer = jax.vmap(lambda row, values: jnp.searchsorted(row, values, side="right"))(ranked, d)
    semi = jnp.minimum(closer, easy)  # MI-5, MI-6
    takes_easy, takes_semi, takes_hard = chosen
    count = takes_hard * semi + takes_semi * (easy - semi) + takes_easy * (total - easy)
    rank = _below(count, key) + jnp.where(takes_hard, 0, semi)  # MI-16
    rank = rank + jnp.where(takes_semi | (rank < semi), 0, easy - semi)
    return count > 0, jnp.take_along_axis(order, jnp.minimum(rank, len(d) - 1), 1)


def _pairwise(x: Array, distance: str) -> Array:
    """Return the distances of all rows (B, B), from differences, a block of rows at a time: MI-17."""
    step = max(1, min(len(x), _BLOCK // x.size))
    blocks = jnp.pad(x, ((0, -len(x) % step), (0, 0))).reshape(-1, step, x.shape[1])
    d = jax.lax.map(lambda rows: row_distance(rows[:, None], x, distance, 2.0, 0.0, "difference"), blocks)
    return jnp.asarray(d).reshape(-1, len(x))[: len(x)]


def _labels(labels: Input) -> Array:
    """Check labels and return them as an array of JAX."""
    shape, dtype = describe("labels", labels)
    check_labels("labels", shape, dtype, int(np.prod(shape)))
    refuse_wrapping(labels)
    return jnp.asarray(labels)


def _arithmetic(name: str, dtype: str) -> Any:
    if dtype == "float64" and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        legal = "float16, bfloat16 or float32 unless jax_enable_x64 is on (it would be truncated)"
        raise TypeError(f"{name} must have dtype {legal}, got {dtype}")
    return jnp.float64 if dtype == "float64" else jnp.float32  # CV-17


def _check_draw(name: str, n: object, rng: Any) -> None:
    """Check a number of draws and the key."""
    check_count(name, n)
    if not isinstance(rng, Array):
        refuse_type("rng", "be a key, as jax.random.key returns it", rng)  # MI-21, MI-22
    typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
    if rng.ndim != (0 if typed else 1) or not (typed or rng.dtype == jnp.uint32):
        raise TypeError(f"rng must be one key, as jax.random.key returns it, got {rng.dtype} of shape {rng.shape}")


def _empty(n: int, expectation: str, shape: tuple[int, ...]) -> Array:
    if n:
        refuse_labels(expectation, 0, 0)  # MI-14
    return jnp.full(shape, -1, jnp.result_type(int))


def _refuse_none(none: Array, expectation: str, y: Array) -> None:
    if not isinstance(none, jax.core.Tracer) and bool(none):
        refuse_labels(expectation, len(np.unique(np.asarray(y))), len(y))  # MI-14


def _identities(y: Array) -> tuple[Array, Array, Array]:
    """Return the order that sorts the labels, and for each sorted place the first of its identity and their number."""
    order = jnp.argsort(y, stable=True)
    y = y[order]
    first = jnp.searchsorted(y, y)
    return order, first, jnp.searchsorted(y, y, side="right") - first


def _float(size: Array) -> Array:
    """Return sizes in the widest float: a product of three overflows an int32."""
    return size.astype(jnp.result_type(float))


def _below(count: Array, key: Array) -> Array:
    """Return integers drawn uniformly from 0 to count - 1; 0 where count is 0."""
    bits = jax.random.bits(key, count.shape, "uint32")  # jax.random.randint takes twice as long to compile
    return (bits % jnp.maximum(count, 1).astype("uint32")).astype(count.dtype)


def _draw_identity(weight: Array, first: Array, n: int, key: Array) -> tuple[Array, Array]:
    """Return the first sorted places of n identities drawn with the given weights, and whether all weights are 0."""
    weight = jnp.where(first == jnp.arange(len(first)), weight, 0)
    at = jnp.argsort(-weight)  # an identity of weight 0 comes last and is never drawn
    total = jnp.cumsum(weight[at])
    drawn = jnp.searchsorted(total, jax.random.uniform(key, (n,), weight.dtype) * total[-1], side="right")
    possible = jnp.sum(weight > 0)
    return at[jnp.minimum(drawn, jnp.maximum(possible - 1, 0))], possible == 0


def _other(anchor: Array, size: Array, key: Array) -> Array:
    """Return another place among `size` ones than `anchor`, uniformly."""
    other = _below(size - 1, key)
    return other + (other >= anchor)


def _foreign(first: Array, size: Array, others: Array, key: Array) -> Array:
    """Return a sorted place outside of the identity that starts at `first`, uniformly."""
    other = _below(others, key)
    return jnp.where(other >= first, other + size, other)
