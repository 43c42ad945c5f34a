"""Batch-hard triplet loss (spec/batch_hard.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, batch, constants, in_dtype, real, whole
from lossproof.backends.jax.pairwise import candidates, farthest, floored_distance, mining_distances, nearest, poisoned
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
    reduction: str = "mean",
) -> Array:
    """Return the batch-hard triplet loss.

    ``max(0, margin + max_p d(a, p) - min_n d(a, n))`` for each anchor a, over the positives p and the negatives n of
    the batch; with `soft_margin` ``log(1 + exp(max_p d(a, p) - min_n d(a, n)))``.

    `jax.jit` needs ``static_argnames=("soft_margin", "distance", "floor", "include_self", "reduction")``.

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
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are positive).

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0. Memory is O(B^2).
    Clauses BH-1 to BH-11, PW-1 to PW-5, CV-1 to CV-46. Source: Hermans, Beyer & Leibe (2017), eq. 5.
    """
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    labels, rows = batch(mask, labels, embeddings=embeddings)
    w = unit_weights(weights, mask, embeddings=embeddings)
    labels, mask, rows, w = whole(labels, mask, rows, w)
    margin, floor = in_dtype(margin, rows.dtype), float(floor)
    positive, negative = candidates(labels, mask, include_self=include_self)  # BH-3, PW-2
    anchors = positive.any(axis=-1) & negative.any(axis=-1)  # BH-2
    if w is not None:
        anchors = anchors & (w != 0)  # BH-11
    rows = jnp.where(anchors.any(), rows, 0)  # CV-11, CV-42: no NaN comes from rows in no term
    if rows.shape[0] == 0:
        return reduce(jnp.sum(rows, axis=-1), anchors, reduction, w)  # CV-5, CV-6

    order = mining_distances(rows, distance)  # BH-7
    itself = jnp.arange(rows.shape[0])
    of_both = farthest(order, positive), nearest(order, negative)  # BH-1, BH-8
    hardest, closest = (jnp.where(anchors, chosen, itself) for chosen in of_both)  # CV-11: no NaN from afar
    ap = floored_distance(rows, rows[hardest], distance, floor)  # BH-5
    an = floored_distance(rows, rows[closest], distance, floor)
    slack = jnp.where(hardest == itself, jax.lax.stop_gradient(ap), ap) - an  # BH-10
    if soft_margin:
        terms, reduction = softened(slack, reduction)  # BH-4
    else:
        terms = jax.nn.relu(margin + slack)  # BH-1, BH-9
    return reduce(poisoned(terms, rows), anchors, reduction, w)


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

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import BatchHardTripletLoss
        >>> loss = BatchHardTripletLoss(margin=2.5)
        >>> round(float(loss(jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1]))), 3)
        1.0
    """

    margin: float | Array = 0.3
    soft_margin: bool = False
    distance: str = "euclidean"
    floor: float = 0.0
    include_self: bool = False
    reduction: str = "mean"

    def __post_init__(self) -> None:
        nothing = np.zeros((0, 1), np.float32), np.zeros(0, np.int32)
        jax.eval_shape(partial(batch_hard_triplet_loss, **self._options()), *nothing)  # refuses illegal options

    def __call__(
        self, embeddings: Input, labels: Input, mask: Input | None = None, weights: Input | None = None
    ) -> Array:
        """Return the loss of the rows; see `batch_hard_triplet_loss`."""
        return batch_hard_triplet_loss(embeddings, labels, mask=mask, weights=weights, **constants(self._options()))

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
