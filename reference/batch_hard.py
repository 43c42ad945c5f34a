"""Batch-hard triplet loss (spec/batch_hard.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.distances import Metric, RowDistance
from lossproof.reference.evaluation import Evaluation, as_batch
from lossproof.reference.pairwise import all_pairs, candidates, pair_metric
from lossproof.reference.reductions import reduce, weights
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_pair_distance,
    check_real,
    check_soft_margin,
)


def batch_hard_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.3,
    soft_margin: bool = False,
    distance: str = "euclidean",
    floor: float = 0.0,
    include_self: bool = False,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the batch-hard triplet loss, in float64.

    ``max(0, margin + max_p d(a, p) - min_n d(a, n))`` for each anchor a, over the positives p and the negatives n of
    the batch; with `soft_margin` ``log(1 + exp(max_p d(a, p) - min_n d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf); left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are positive).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0.
    Clauses BH-1 to BH-10, PW-1 to PW-5, CV-1 to CV-38. Source: Hermans, Beyer & Leibe (2017), eq. 5.
    """
    loss = evaluate(
        embeddings, labels, margin=margin, soft_margin=soft_margin, distance=distance, floor=floor,
        include_self=include_self, mask=mask, reduction=reduction,
    )  # fmt: skip
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.3,
    soft_margin: bool = False,
    distance: str = "euclidean",
    floor: float = 0.0,
    include_self: bool = False,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("margin", margin, 0)  # CV-28
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    identity, takes_part, rows = as_batch(labels, mask, embeddings=embeddings)
    margin, d = float(margin), pair_metric(distance, float(floor))
    positive, negative = candidates(identity, takes_part, include_self=include_self)  # BH-3, PW-2
    anchors = np.asarray(positive.any(axis=-1) & negative.any(axis=-1))  # BH-2
    decisions = Decisions(overrides, anchors)
    with np.errstate(all="ignore"):
        every = all_pairs(rows, d)
        hardest = _pick("hardest positive", every.value, every.scale, positive, decisions)  # BH-1, BH-8, PW-5
        nearest = _pick("hardest negative", -every.value, every.scale, negative, decisions)
        ap = _to_positive(rows, hardest, d, decisions)
        an = d(rows, rows[nearest], "d(a, n)", decisions)
        slack, spread = ap.value - an.value, ap.scale + an.scale
        if soft_margin:
            terms, scale = np.logaddexp(0, slack), 1 + spread  # BH-4
            active = np.exp(-np.logaddexp(0, -slack))
            growth = 1 + (1 - active) * spread
            reduction = "mean" if reduction == "mean_nonzero" else reduction
        else:
            slack, scale = margin + slack, margin + spread
            terms = np.where(slack <= 0, 0, slack)  # BH-1
            active = decisions.take("hinge", ~(slack <= 0), slack, scale, (False, True))  # BH-9
            growth = np.ones_like(terms)
        value = reduce(terms, anchors, reduction)
        weight = weights(terms, anchors, reduction)
        scale = reduce(scale, anchors, "none") if reduction == "none" else np.asarray(np.sum(weight * scale))

    def combine(w: Array, near: tuple[Array, Array], far: tuple[Array, Array], sign: int) -> dict[str, Array]:
        """Add what reaches each row as anchor, as hardest positive and as hardest negative: BH-7."""
        gradient = np.zeros_like(rows)
        with np.errstate(all="ignore"):
            w = np.where(weight != 0, w * weight * active, 0)[:, None]
            parts = (near[0] + sign * far[0], near[1], sign * far[1])
            for at, part in zip((np.arange(len(rows)), hardest, nearest), parts, strict=True):
                np.add.at(gradient, at, np.where(w != 0, w * part, 0))
        return {"embeddings": gradient}

    def vjp(cotangent: Array) -> dict[str, Array]:
        return combine(cotangent, ap.gradients, an.gradients, -1)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return combine(np.abs(cotangent) * growth, ap.gradient_scales, an.gradient_scales, 1)

    return Evaluation(value, scale, vjp, vjp_scale, decisions)


def _pick(name: str, values: Array, scale: Array, among: Array, decisions: Decisions) -> Array:
    """Return the index of the largest value of each anchor among its candidates, the lowest of those that tie."""
    if not len(values):
        return np.zeros(0, int)
    eligible = np.where(among, values, -np.inf)
    best = np.argmax(eligible, axis=-1)
    return decisions.pick_largest(name, eligible, np.take_along_axis(scale, best[:, None], axis=-1)[:, 0])


def _to_positive(rows: Array, hardest: Array, d: Metric, decisions: Decisions) -> RowDistance:
    """Return the distances of the hardest positives; that of an anchor to itself has no kink and no gradient: BH-10."""
    itself = hardest == np.arange(len(rows))
    own = Decisions(decisions.overrides, ~itself & np.asarray(decisions.participates))
    found = d(rows, rows[hardest], "d(a, p)", own)
    decisions.taken.extend(own.taken)
    first, second = (np.where(itself[:, None], 0, gradient) for gradient in found.gradients)
    return replace(found, gradients=(first, second))
