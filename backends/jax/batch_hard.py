"""Batch-hard triplet loss (spec/batch_hard.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, constants, in_dtype, real, whole
from lossproof.backends.jax.candidates import Sets, as_sets
from lossproof.backends.jax.distributed import AxisName, alone, joined, union
from lossproof.backends.jax.pairwise import farthest, floored_distance, mining_distances, nearest
from lossproof.backends.jax.reductions import reduce, softened
from lossproof.backends.jax.weights import unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_pair_distance, check_soft_margin


def batch_hard_triplet_loss(
    embeddings: Input,
    labels: Input,
    *,
    margin: float | Array = 0.3,
    soft_margin: bool = False,
    distance: str = "euclidean",
    floor: float = 0.0,
    include_self: bool = False,
    mask: Input | None = None,
    weights: Input | None = None,
    candidates: Input | None = None,
    candidate_labels: Input | None = None,
    candidate_mask: Input | None = None,
    candidate_index: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the batch-hard triplet loss.

    ``max(0, margin + max_p d(a, p) - min_n d(a, n))`` for each anchor a, over the positives p and the negatives n of
    the batch; with `soft_margin` ``log(1 + exp(max_p d(a, p) - min_n d(a, n)))``.

    `jax.jit` needs ``static_argnames=("soft_margin", "distance", "floor", "include_self", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error where they lie in the host's
            memory, else the term is NaN.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are positive).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0. Memory is O(B^2), or
    O(B M).
    Clauses BH-1 to BH-12, PW-1 to PW-5, PW-9 to PW-14, CV-1 to CV-46, DD-1 to DD-19.
    Source: Hermans, Beyer & Leibe (2017), eq. 5.
    """
    devices = joined(axis_name, candidates)
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, devices, embeddings.dtype)
    rows = sets.rows
    w = unit_weights(weights, mask, embeddings=embeddings)
    (w,) = whole(w)
    margin, floor = in_dtype(margin, rows.dtype), float(floor)
    positive, negative = sets.pairs(include_self=include_self)  # BH-3, BH-12, PW-2, PW-9
    anchors = positive.any(axis=-1) & negative.any(axis=-1)  # BH-2
    if w is not None:
        anchors = anchors & (w != 0)  # BH-11
    sets, unknown = _known(sets, anchors)  # CV-11, CV-42: no NaN comes from rows in no term
    rows = sets.rows
    if rows.shape[0] == 0:
        return reduce(jnp.sum(rows, axis=-1), anchors, reduction, w, devices=devices)  # CV-5, CV-6

    order = mining_distances(sets, distance)  # BH-7
    if include_self and sets.second and sets.itself is not None:
        order = jnp.where(sets.itself, floored_distance(rows, rows, distance, 0.0)[:, None], order)  # BH-12
    hardest, closest = farthest(order, positive), nearest(order, negative)  # BH-1, BH-8
    if not sets.second:  # CV-11: no NaN from afar
        itself = jnp.arange(rows.shape[0])
        hardest, closest = (jnp.where(anchors, chosen, itself) for chosen in (hardest, closest))
    ap = floored_distance(rows, sets.met(hardest), distance, floor)  # BH-5
    an = floored_distance(rows, sets.met(closest), distance, floor)
    slack = jnp.where(sets.own(hardest), jax.lax.stop_gradient(ap), ap) - an  # BH-10
    if soft_margin:
        terms, reduction = softened(slack, reduction)  # BH-4
    else:
        terms = jax.nn.relu(margin + slack)  # BH-1, BH-9
    return reduce(jnp.where(unknown, jnp.nan, terms), anchors, reduction, w, devices=devices)


def _known(sets: Sets, anchors: Array) -> tuple[Sets, Array]:
    """Return the sets without NaN that no term holds, and which anchors meet NaN, (B,) or (): PW-12."""
    if not sets.second:
        sets = sets.changed(lambda rows: jnp.where(anchors.any(), rows, 0))
        return sets, jnp.any(jnp.isnan(sets.rows))  # PW-5: each row is a candidate of every anchor
    sets, finite, others = sets.known()
    return sets, sets.unknown(finite, others)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class BatchHardTripletLoss:
    """`batch_hard_triplet_loss` as a pytree: `margin` is a leaf without gradient, the other options are static.

    Args:
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked.
            Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are
            positive).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import BatchHardTripletLoss
        >>> loss = BatchHardTripletLoss(margin=2.5)
        >>> round(float(loss(jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1]))), 3)
        1.0
        >>> memory, names = jnp.array([[2.0], [0.5]]), jnp.array([0, 1])  # rows that are no anchors
        >>> rows, labels = jnp.array([[0.0], [1.0]]), jnp.array([0, 0])
        >>> round(float(loss(rows, labels, candidates=memory, candidate_labels=names)), 3)
        3.5
    """

    margin: float | Array = 0.3
    soft_margin: bool = False
    distance: str = "euclidean"
    floor: float = 0.0
    include_self: bool = False
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        nothing = np.zeros((0, 1), np.float32), np.zeros(0, np.int32)
        jax.eval_shape(partial(batch_hard_triplet_loss, **alone(self._options())), *nothing)  # refuses illegal options

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
        """Return the loss of the rows; see `batch_hard_triplet_loss`."""
        return batch_hard_triplet_loss(
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
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any]) -> BatchHardTripletLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        vars(loss).update(zip((field.name for field in fields(cls)), (*leaves, *static), strict=True))
        return loss
