"""Semi-hard triplet loss (spec/semi_hard.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, constants, in_dtype, real, whole
from lossproof.backends.jax.candidates import as_sets
from lossproof.backends.jax.distributed import AxisName, alone, joined, union
from lossproof.backends.jax.pairwise import distance_matrix
from lossproof.backends.jax.positives import Runs, crowded, of_anchors, over_positives, put, runs, whole_numbers
from lossproof.backends.jax.reductions import reduce, softened
from lossproof.backends.jax.weights import unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise, check_soft_margin


def semi_hard_triplet_loss(
    embeddings: Input,
    labels: Input,
    *,
    margin: float | Array = 1.0,
    soft_margin: bool = False,
    distance: str = "squared_euclidean",
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
    """Return the semi-hard triplet loss.

    ``max(0, margin + d(a, p) - d(a, n))`` for each anchor a and each positive p of it, where n is the nearest negative
    that is farther than p, or the farthest negative where none is; with `soft_margin`
    ``log(1 + exp(d(a, p) - d(a, n)))``.

    `jax.jit` needs
    ``static_argnames=("soft_margin", "distance", "pairwise", "max_positives", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        labels: integers of shape (B,). Where they are not traced and `max_positives` is given, they are read for it.
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
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
            memory, else every pair of its anchor is NaN.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those that are
            positive).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: for "none" of shape (B, B), or (B, M) with candidates, with 0 off the pairs that take part, else ();
        float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A pair whose anchor has no negative takes no part. A negative as far as the positive is not farther; of negatives
    that tie, the lowest index alone gets gradient; the hinge at 0 and coincident rows have gradient 0. Memory is
    O(B^2), or O(B M).
    Clauses SH-1 to SH-13, PW-1 to PW-14, CV-1 to CV-46, DD-1 to DD-19.
    Source: Schroff et al. (2015), section 3.2; tf.contrib.
    """
    devices = joined(axis_name, candidates)
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 1.0)  # SH-12
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, devices, embeddings.dtype)
    rows = sets.rows
    w = unit_weights(weights, mask, embeddings=embeddings)
    (w,) = whole(None if w is None else w[:, None])  # SH-11
    margin = in_dtype(margin, rows.dtype)
    if rows.shape[0] == 0:
        return jnp.zeros((0, sets.count), rows.dtype) if reduction == "none" else jnp.sum(rows)  # CV-5, CV-6
    positive, negative = sets.pairs()  # PW-2, PW-9
    sets, finite, others = sets.known()  # SH-10
    part, second = sets.distinct(finite, others)
    d = distance_matrix(sets.rows, part, distance, pairwise, second)
    an = jnp.take_along_axis(d, _chosen(stop_gradient(d), positive, negative, runs(positive, sets)), axis=1)
    if soft_margin:
        terms, reduction = softened(d - an, reduction)  # SH-12
    else:
        terms = jax.nn.relu(margin + d - an)  # SH-1, SH-7, SH-9
    unknown = jnp.any(negative & ~others[None], axis=-1) | ~finite | crowded(positive, sets, max_positives)
    unknown = unknown if sets.wild is None else unknown | sets.wild  # PW-14
    terms = jnp.where(unknown[:, None] | ~others[None], jnp.nan, terms)  # SH-10, PW-8
    pairs = positive & jnp.any(negative, axis=-1, keepdims=True)  # SH-4
    found = reduce(terms, pairs, reduction, w, devices=devices)
    return found[:, :0] if reduction == "none" and sets.second and sets.count == 0 else found  # SH-13


@jax.jit  # a loop that stands in no other jax.jit would be compiled in every call
def _chosen(d: Array, positive: Array, negative: Array, found: Runs) -> Array:
    """Return the negative of each positive, and of what is none itself: (B, M)."""
    last, count = float(np.finfo(d.dtype).max), d.shape[1]
    far = jnp.where(negative, d, -last)  # what is no negative is not farther than anything
    after = jnp.arange(count, 0, -1).astype(whole_numbers(count, d.dtype))

    def lowest(least: Array) -> Array:
        left = jnp.max(jnp.where(far == least[:, None], after[None], 0), axis=1)  # SH-8
        return count - left.astype(jnp.int32)

    farthest = lowest(jnp.max(far, axis=1))  # SH-3

    def of_positive(near: Array) -> Array:
        least = jnp.min(jnp.where(far > near[:, None], far, last), axis=1)  # SH-2
        return jnp.where(least < last, lowest(least), farthest)

    def choose(column: Array, _: Array, chosen: Array) -> Array:
        return put(chosen, column, jax.lax.map(of_positive, of_anchors(d, column)))

    columns = jnp.arange(count, dtype=jnp.int32)[None]
    itself = jnp.where(far > d, columns, columns)  # in shard_map as different on each device as what is chosen
    return over_positives(choose, itself, positive, found)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class SemiHardTripletLoss:
    """`semi_hard_triplet_loss` as a pytree: `margin` is a leaf without gradient, the other options are static.

    Args:
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows
            that nearly coincide.
        max_positives: the most positives that an anchor may have; None, any number of them. With more, the terms of
            the anchor are NaN, and an error is raised where labels are not traced.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those
            that are positive).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import SemiHardTripletLoss
        >>> loss = SemiHardTripletLoss(margin=10.0)
        >>> round(float(loss(jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1]))), 3)
        4.5
    """

    margin: float | Array = 1.0
    soft_margin: bool = False
    distance: str = "squared_euclidean"
    pairwise: str = "gram"
    max_positives: int | None = None
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        nothing = np.zeros((0, 1), np.float32), np.zeros(0, np.int32)
        jax.eval_shape(partial(semi_hard_triplet_loss, **alone(self._options())), *nothing)  # refuses illegal options

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
        """Return the loss of the rows; see `semi_hard_triplet_loss`."""
        return semi_hard_triplet_loss(
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
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any]) -> SemiHardTripletLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        vars(loss).update(zip((field.name for field in fields(cls)), (*leaves, *static), strict=True))
        return loss
