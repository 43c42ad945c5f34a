"""Batch-all triplet loss (spec/batch_all.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.evaluation import Evaluation, PairError, as_batch
from lossproof.reference.pairwise import all_pairs, candidates, most_positives, pair_metric, reach
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise, check_real


def batch_all_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the batch-all triplet loss, in float64.

    ``max(0, margin + d(a, p) - d(a, n))`` for every anchor a, positive p and negative n of the batch.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf).
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram" or "direct", how accurate the distances of a backend are; nothing changes here.
        max_positives: the most positives that an anchor may have, or None.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over triplets that
            are positive).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: the hinge at 0 and coincident rows have gradient 0.
    Clauses BA-1 to BA-8, PW-1 to PW-8, CV-1 to CV-38. Source: Hermans, Beyer & Leibe (2017), eq. 6.
    """
    loss = evaluate(
        embeddings, labels, margin=margin, distance=distance, pairwise=pairwise, max_positives=max_positives,
        mask=mask, reduction=reduction,
    )  # fmt: skip
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("margin", margin, 0)  # CV-28
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    identity, takes_part, rows = as_batch(labels, mask, embeddings=embeddings)
    margin, d = float(margin), pair_metric(distance)
    positive, negative = candidates(identity, takes_part)  # PW-2
    most_positives(positive, max_positives)  # PW-8
    valid = positive[:, :, None] & negative[:, None, :]  # BA-2
    used = (positive & np.any(negative, axis=-1, keepdims=True)) | (negative & np.any(positive, axis=-1, keepdims=True))
    decisions = Decisions(overrides, used)
    with np.errstate(all="ignore"):
        shape = (*used.shape, rows.shape[-1])
        pair = d(np.broadcast_to(rows[:, None], shape), np.broadcast_to(rows, shape), "d", decisions)
        spread = reach(all_pairs(rows, d), rows, takes_part, distance, pairwise)
        decisions.participates = valid
        slack = margin + pair.value[:, :, None] - pair.value[:, None, :]
        undecided = margin + spread[:, :, None] + spread[:, None, :]
        active = decisions.take("hinge", ~(slack <= 0), slack, undecided, (False, True)) & valid  # BA-6
        terms = np.where(slack <= 0, 0, slack)  # BA-1; NaN stays, CV-10
        divisor = max(_count(valid, active, reduction), 1)  # BA-3, BA-4, CV-5
        scale = margin + pair.scale[:, :, None] + pair.scale[:, None, :]
        value = _summed(np.where(valid, terms, 0), reduction) / divisor
        scale = _summed(np.where(active, scale, 0), reduction) / divisor

    def combine(cotangent: Array, parts: tuple[Array, Array], sign: int) -> dict[str, Array]:
        """Add what reaches both ends of each pair, as a positive and as a negative pair: BA-5."""
        w = np.broadcast_to(cotangent, len(rows)) / divisor
        near, far = active.sum(axis=2), active.sum(axis=1)
        with np.errstate(all="ignore"):
            weight = (w[:, None] * (near + sign * far))[..., None]
            first, second = (np.where(weight != 0, weight * part, 0) for part in parts)
        return {"embeddings": first.sum(axis=1) + second.sum(axis=0)}

    def vjp(cotangent: Array) -> dict[str, Array]:
        return combine(cotangent, pair.gradients, -1)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return combine(np.abs(cotangent), pair.gradient_scales, 1)

    def pair_errors(error: PairError, turn: PairError, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        added, turns = error(pair.value), np.broadcast_to(turn(pair.value)[..., None], shape)
        added = np.where(active, added[:, :, None] + added[:, None, :], 0)
        return _summed(added, reduction) / divisor, combine(np.abs(cotangent), (turns, turns), 1)

    return Evaluation(
        value, scale, vjp, vjp_scale, decisions, pair_errors=pair_errors, terms=int(np.count_nonzero(valid))
    )


def _summed(triplets: Array, reduction: str) -> Array:
    """Return the sum of each anchor, or of all."""
    return np.asarray(triplets.sum(axis=(1, 2)) if reduction == "none" else triplets.sum())


def _count(valid: Array, active: Array, reduction: str) -> int:
    counted = {"mean": valid, "mean_nonzero": active}.get(reduction)
    return 1 if counted is None else int(np.count_nonzero(counted))
