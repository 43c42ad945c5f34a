"""Semi-hard triplet loss (spec/semi_hard.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.evaluation import Evaluation, PairError, as_batch
from lossproof.reference.pairwise import all_pairs, candidates, most_positives, pair_metric, reach
from lossproof.reference.reductions import reduce, weights
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise, check_real


def semi_hard_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "squared_euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the semi-hard triplet loss, in float64.

    ``max(0, margin + d(a, p) - d(a, n))`` for each anchor a and each positive p of it, where n is the nearest negative
    that is farther than p, or the farthest negative where none is.

    Args:
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf).
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram" or "direct", how accurate the distances of a backend are; nothing changes here.
        max_positives: the most positives that an anchor may have, or None.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those that are
            positive).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B, B) for "none", with 0 off the pairs that take part, else (); with `cotangent`, the
        pair of the loss and a dictionary of the gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A pair whose anchor has no negative takes no part. A negative as far as the positive is not farther; of negatives
    that tie, the lowest index alone gets gradient; the hinge at 0 and coincident rows have gradient 0.
    Clauses SH-1 to SH-10, PW-1 to PW-8, CV-1 to CV-38. Source: Schroff et al. (2015), section 3.2; tf.contrib.
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
    distance: str = "squared_euclidean",
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
    pairs = positive & np.any(negative, axis=-1, keepdims=True)  # SH-4
    decisions = Decisions(overrides, pairs)
    with np.errstate(all="ignore"):
        every = all_pairs(rows, d)
        spread = reach(every, rows, takes_part, distance, pairwise)
        chosen = _choose(every.value, spread, negative, decisions)
        shape = (*pairs.shape, rows.shape[-1])
        anchors = np.broadcast_to(rows[:, None], shape)
        ap = d(anchors, np.broadcast_to(rows, shape), "d(a, p)", decisions)
        an = d(anchors, rows[chosen], "d(a, n)", decisions)
        unknown = np.any(np.isnan(np.where(negative, every.value, 0)), axis=-1, keepdims=True)  # SH-10
        slack = np.where(unknown, np.nan, margin + ap.value - an.value)
        terms = np.where(slack <= 0, 0, slack)  # SH-1
        near, far = spread, np.take_along_axis(spread, chosen, axis=-1)
        active = decisions.take("hinge", ~(slack <= 0), slack, margin + near + far, (False, True))  # CV-13
        value = reduce(terms, pairs, reduction)
        weight = weights(terms, pairs, reduction)
        scale = margin + ap.scale + an.scale
        scale = (
            reduce(scale, pairs, "none")
            if reduction == "none"
            else np.asarray(np.sum(np.where(pairs, scale, 0) * weight))
        )

    def combine(cotangent: Array, near: tuple[Array, Array], far: tuple[Array, Array], sign: int) -> dict[str, Array]:
        """Add what reaches each row as anchor, as positive and as chosen negative: SH-7."""
        gradient = np.zeros_like(rows)
        with np.errstate(all="ignore"):
            w = np.where(weight != 0, cotangent * weight * active, 0)[..., None]
            to_anchor, to_positive, to_negative = (
                np.where(w != 0, w * part, 0) for part in (near[0] + sign * far[0], near[1], sign * far[1])
            )
            gradient += to_anchor.sum(axis=1) + to_positive.sum(axis=0)
            np.add.at(gradient, chosen, to_negative)
        return {"embeddings": gradient}

    def vjp(cotangent: Array) -> dict[str, Array]:
        return combine(cotangent, ap.gradients, an.gradients, -1)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return combine(np.abs(cotangent), ap.gradient_scales, an.gradient_scales, 1)

    def pair_errors(error: PairError, turn: PairError, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        added = np.where(pairs, error(ap.value) + error(an.value), 0)
        turns = [np.broadcast_to(turn(part.value)[..., None], shape) for part in (ap, an)]
        to_rows = combine(np.abs(cotangent), (turns[0], turns[0]), (turns[1], turns[1]), 1)
        return (added if reduction == "none" else np.asarray(np.sum(added * weight))), to_rows

    return Evaluation(value, scale, vjp, vjp_scale, decisions, pair_errors=pair_errors)


def _choose(distances: Array, spread: Array, negative: Array, decisions: Decisions) -> Array:
    """Return the index of the negative of each pair (a, p)."""
    if not len(distances):
        return np.zeros(distances.shape, int)
    ap, an = distances[:, :, None], distances[:, None, :]
    among = np.broadcast_to(negative[:, None, :], (*distances.shape, len(distances)))
    slack = np.where(among, an - ap, np.inf)
    scale = spread[:, :, None] + spread[:, None, :]
    farther = decisions.take("d(a, n) > d(a, p)", an > ap, slack, scale, (False, True)) & among  # SH-2
    nearest = np.where(farther, -an, -np.inf)
    farthest = np.where(among, an, -np.inf)
    values = np.where(farther.any(axis=-1, keepdims=True), nearest, farthest)  # SH-3
    best = np.argmax(values, axis=-1)
    return decisions.pick_largest("negative", values, np.take_along_axis(spread, best, axis=-1))  # SH-8
