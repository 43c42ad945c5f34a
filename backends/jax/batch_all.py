"""Batch-all triplet loss (spec/batch_all.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, constants, in_dtype, real, whole
from lossproof.backends.jax.candidates import Sets, as_sets
from lossproof.backends.jax.distributed import AxisName, alone, joined, over, union
from lossproof.backends.jax.pairwise import distance_matrix
from lossproof.backends.jax.positives import Runs, crowded, of_anchors, over_positives, put, runs, whole_numbers
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import in_arithmetic, total_weight, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise


def batch_all_triplet_loss(
    embeddings: Input,
    labels: Input,
    *,
    margin: float | Array = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: Input | None = None,
    weights: Input | None = None,
    candidates: Input | None = None,
    candidate_labels: Input | None = None,
    candidate_mask: Input | None = None,
    candidate_index: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the batch-all triplet loss.

    ``max(0, margin + d(a, p) - d(a, n))`` for every anchor a, positive p and negative n of the batch.

    `jax.jit` needs ``static_argnames=("distance", "pairwise", "max_positives", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        labels: integers of shape (B,). Where they are not traced and `max_positives` is given, they are read for it.
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows that
            nearly coincide.
        max_positives: the most positives that an anchor may have; None, any number of them. With more, the terms of
            the anchor are NaN, and an error is raised where labels are not traced.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error where they lie in the host's
            memory, else the sum of its anchor is NaN where there is a triplet.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over triplets that
            are positive).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: the hinge at 0 and coincident rows have gradient 0. Memory is O(B^2), or
    O(B M); no triplet is formed.
    Clauses BA-1 to BA-9, PW-1 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Hermans, Beyer & Leibe (2017), eq. 6.
    """
    devices = joined(axis_name, candidates)
    margin = real("margin", margin, 0)
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, devices, embeddings.dtype)
    rows = sets.rows
    w = unit_weights(weights, mask, embeddings=embeddings)
    (w,) = whole(w)
    margin = in_dtype(margin, rows.dtype)
    if rows.shape[0] == 0:
        return jnp.sum(rows, axis=-1) if reduction == "none" else jnp.sum(rows)  # CV-5, CV-6
    found = _triplets(sets, margin, distance, pairwise, max_positives)
    d, sign = found.d, found.sign
    part = sign.astype(d.dtype) * (d - _center(stop_gradient(d), sign))  # BA-5: each row of counts sums to 0
    sums = jnp.sum(part, axis=-1) + margin * found.active.astype(d.dtype)  # BA-1
    sums = jnp.where(found.broken, jnp.nan, sums)  # BA-7, PW-8
    if reduction in ("none", "sum"):
        return reduce(sums, None, reduction, w, devices=devices)
    counts = (found.every if reduction == "mean" else found.active).astype(d.dtype)  # BA-3, BA-4
    if w is None:
        divisor = jnp.maximum(over(devices, jnp.sum(counts)), 1)
    else:
        divisor = total_weight(in_arithmetic(w, d.dtype) * counts, devices)  # BA-9
    return reduce(sums, None, "sum", w) / divisor


def batch_all_active_fraction(
    embeddings: Input,
    labels: Input,
    *,
    margin: float | Array = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: Input | None = None,
) -> Array:
    """Return how many of the triplets of a batch are active, over how many there are: a number in [0, 1].

    A triplet of an anchor a, a positive p and a negative n is active where ``margin + d(a, p) - d(a, n) > 0``.
    Arguments and errors as in `batch_all_triplet_loss`. 0 without a triplet; NaN where there is one and a row that
    takes part holds NaN, or where an anchor of one has more than `max_positives`. Of shape (), without gradient;
    float64 for float64 inputs, else float32. Memory is O(B^2); no triplet is formed.

    `jax.jit` needs ``static_argnames=("distance", "pairwise", "max_positives")``.

    Clauses BA-10 to BA-16, PW-1 to PW-6, PW-8. Source: Hermans, Beyer & Leibe (2017).
    """
    margin = real("margin", margin, 0)
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    sets = as_sets(embeddings, labels, mask).changed(stop_gradient)  # BA-14
    dtype = sets.rows.dtype
    margin = stop_gradient(in_dtype(margin, dtype))
    if sets.rows.shape[0] == 0:
        return jnp.sum(sets.rows)  # BA-12
    found = _triplets(sets, margin, distance, pairwise, max_positives)
    share = _sum(found.active, dtype) / jnp.maximum(_sum(found.every, dtype), 1)  # BA-10, BA-12
    return jnp.where(jnp.any(found.broken), jnp.nan, share)  # BA-13, PW-8


def _sum(counts: Array, dtype: Any) -> Array:
    """Return the sum of counts (B,), rounded once (BA-15): up to 2^15 rows neither of its halves overflows 32 bits."""
    high, low = jnp.sum(counts >> 16), jnp.sum(counts & 0xFFFF)
    return (high + (low >> 16)).astype(dtype) * 2.0**16 + (low & 0xFFFF).astype(dtype)


class _Triplets(NamedTuple):
    """The distances of the pairs, and how many triplets there are, none of which is formed."""

    d: Array  # (B, M), with gradient
    sign: Array  # (B, M), active triplets of each pair, those of a negative with a minus
    active: Array  # (B,), of each anchor
    every: Array  # (B,)
    broken: Array  # (B,), whether an anchor with triplets has too many positives, a wrong index, or meets no number


def _triplets(sets: Sets, margin: float | Array, distance: str, pairwise: str, max_positives: int | None) -> _Triplets:
    positive, negative = sets.pairs()  # PW-2, PW-9
    sets, finite, others = sets.known()  # BA-7
    part, second = sets.distinct(finite, others)
    d = distance_matrix(sets.rows, part, distance, pairwise, second)
    sign, active = _counts(stop_gradient(d), stop_gradient(margin), positive, negative, runs(positive, sets))
    every = jnp.sum(positive, axis=-1) * jnp.sum(negative, axis=-1)  # BA-2
    broken = (every > 0) & (crowded(positive, sets, max_positives) | sets.unknown(finite, others))
    return _Triplets(d, sign, jnp.where(broken, every, active), every, broken)  # BA-4: NaN is counted


@jax.jit  # a loop that stands in no other jax.jit would be compiled in every call
def _counts(d: Array, margin: Array, positive: Array, negative: Array, found: Runs) -> tuple[Array, Array]:
    """Return the active triplets of each pair (B, M), those of a negative with a minus, and of each anchor (B,).

    A triplet is active where d(a, n) < d(a, p) + margin.
    """
    last, exact = float(np.finfo(d.dtype).max), whole_numbers(d.shape[1], d.dtype)
    far = jnp.where(negative, d, last)  # no threshold is above

    def nearer(threshold: Array) -> Array:
        return far < threshold[:, None]  # BA-6

    def count(column: Array, there: Array, sign: Array) -> Array:
        thresholds = jnp.where(there, jnp.minimum(margin + of_anchors(d, column), last), -last)
        of_positives = jax.lax.map(lambda threshold: jnp.sum(nearer(threshold).astype(exact), axis=1), thresholds)
        sign = sign - sum(nearer(threshold).astype(jnp.int32) for threshold in thresholds)
        return put(sign, column, of_positives.astype(jnp.int32))

    zero = jnp.int32(0)
    nothing = jnp.where(far < margin + d, zero, zero)  # in shard_map as different on each device as the counts
    sign = over_positives(count, nothing, positive, found)
    return sign, jnp.sum(jnp.where(positive, sign, 0), axis=1)


def _center(d: Array, sign: Array) -> Array:
    """Return the mean distance of each anchor from its rows, by their counts: as near as the active triplets are."""
    weight = jnp.abs(sign).astype(d.dtype)
    whole = jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), 1)
    return jnp.sum(d * (weight * (1 / whole)), axis=-1, keepdims=True)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class BatchAllTripletLoss:
    """`batch_all_triplet_loss` as a pytree: `margin` is a leaf without gradient, the other options are static.

    Args:
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows
            that nearly coincide.
        max_positives: the most positives that an anchor may have; None, any number of them. With more, the terms of
            the anchor are NaN, and an error is raised where labels are not traced.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over
            triplets that are positive).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import BatchAllTripletLoss
        >>> loss = BatchAllTripletLoss(margin=2.5)
        >>> round(float(loss(jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1]))), 3)
        1.0
    """

    margin: float | Array = 1.0
    distance: str = "euclidean"
    pairwise: str = "gram"
    max_positives: int | None = None
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        nothing = np.zeros((0, 1), np.float32), np.zeros(0, np.int32)
        jax.eval_shape(partial(batch_all_triplet_loss, **alone(self._options())), *nothing)  # refuses illegal options

    def __call__(
        self,
        embeddings: Input,
        labels: Input,
        mask: Input | None = None,
        weights: Input | None = None,
        *,
        candidates: Input | None = None,
        candidate_labels: Input | None = None,
        candidate_mask: Input | None = None,
        candidate_index: Input | None = None,
    ) -> Array:
        """Return the loss of the rows; see `batch_all_triplet_loss`."""
        return batch_all_triplet_loss(
            embeddings,
            labels,
            mask=mask,
            weights=weights,
            candidates=candidates,
            candidate_labels=candidate_labels,
            candidate_mask=candidate_mask,
            candidate_index=candidate_index,
            **constants(self._options()),
        )

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any], tuple[Any, ...]]:
        """Return the leaf and the static options."""
        margin, *static = self._options().values()
        return (margin,), tuple(static)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any]) -> BatchAllTripletLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        vars(loss).update(zip((field.name for field in fields(cls)), (*leaves, *static), strict=True))
        return loss
