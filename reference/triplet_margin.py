"""Triplet margin loss (spec/triplet_margin.md): the clauses in float64 numpy, value and derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.distances import metric
from lossproof.reference.evaluation import Arrays, Evaluation, as_rows, described
from lossproof.reference.reductions import reduce, weights
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_distance,
    check_mask,
    check_real,
    check_rows,
)


def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float = 1e-6,
    eps_at: str = "difference",
    swap: bool = False,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the triplet margin loss of rows, in float64.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))``, with ``d(positive, negative)`` in place of the last
    distance where `swap` is True and it is strictly smaller.

    Args:
        anchor: rows of shape (..., D), any float dtype.
        positive: rows, same shape.
        negative: rows, same shape.
        margin: in the unit of the distance, [0, inf).
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: where it is added: "difference", "root" or "floor".
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        mask: booleans of shape (...); True takes part.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those that are positive).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (...) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: derivative 0 for the hinge at 0, for |t| at 0, for a norm at 0 and at or below a floor; with p = inf the
    lowest coordinate; `swap` at a tie takes d(anchor, negative). Clauses TM-1 to TM-10, DI-1 to DI-21, CV-1 to CV-38.
    Source: Schroff et al. (2015), eq. 2; Balntas et al. (2016), eq. 4.
    """
    loss = evaluate(
        anchor, positive, negative, margin=margin, distance=distance, p=p, eps=eps, eps_at=eps_at, swap=swap,
        mask=mask, reduction=reduction,
    )  # fmt: skip
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float = 1e-6,
    eps_at: str = "difference",
    swap: bool = False,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    rows = described(anchor=anchor, positive=positive, negative=negative)
    check_rows(rows)  # CV-24, CV-25, CV-26
    check_real("margin", margin, 0)  # TM-3, CV-28
    check_distance(distance, p, eps, eps_at)  # DI-20, DI-21
    check_bool("swap", swap)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    takes_part = None if mask is None else np.asarray(mask)
    if takes_part is not None:
        check_mask("mask", takes_part.shape, takes_part.dtype.name, rows["anchor"][0][:-1])  # CV-29, CV-30

    margin, p, eps = float(margin), float(p), float(eps)
    a, pos, n = as_rows(anchor=anchor, positive=positive, negative=negative)
    if takes_part is not None:
        a, pos, n = (np.where(takes_part[..., None], row, 0) for row in (a, pos, n))  # CV-8, CV-9
    decisions = Decisions(overrides, takes_part)
    d = metric(distance, p, eps, eps_at)
    with np.errstate(all="ignore"):
        ap, an = d(a, pos, "d(a, p)", decisions), d(a, n, "d(a, n)", decisions)  # TM-4
        taken, swapped = an.value, np.zeros(an.value.shape, bool)
        scale = ap.scale + an.scale
        if swap:
            pn = d(pos, n, "d(p, n)", decisions)
            closer = pn.value < an.value  # TM-5, TM-6
            swapped = decisions.take("swap", closer, an.value - pn.value, an.scale + pn.scale, (False, True))
            taken = np.where(closer, pn.value, an.value)
            scale = ap.scale + np.where(swapped, pn.scale, an.scale)
        slack = margin + ap.value - taken
        scale = margin + scale
        terms = np.where(slack <= 0, 0, slack)  # TM-1, TM-10; NaN stays, CV-10
        active = decisions.take("hinge", ~(slack <= 0), slack, scale, (False, True))  # CV-13
        value = reduce(terms, takes_part, reduction)
        weight = weights(terms, takes_part, reduction)
        scale = reduce(scale, takes_part, "none") if reduction == "none" else np.asarray(np.sum(weight * scale))

    def combine(cotangent: Array, pairs: list[tuple[Array, Array]], sign: int) -> dict[str, Array]:
        """Add the parts that reach each input, weighted by the term: TM-7 with sign -1, error scales with +1."""
        with np.errstate(all="ignore"):
            w = np.where(weight != 0, cotangent * weight * active, 0)[..., None]
            kept, (from_ap, from_an) = swapped[..., None], pairs[:2]
            from_pn = pairs[2] if swap else (np.zeros_like(a), np.zeros_like(a))
            to_anchor = from_ap[0] + sign * np.where(kept, 0, from_an[0])
            to_positive = from_ap[1] + sign * np.where(kept, from_pn[0], 0)
            to_negative = sign * np.where(kept, from_pn[1], from_an[1])
            parts = {"anchor": to_anchor, "positive": to_positive, "negative": to_negative}
            return {name: np.where(w != 0, w * part, 0) for name, part in parts.items()}

    taken_pairs = [ap, an, pn] if swap else [ap, an]
    ends = [(0, 1), (0, 2), (1, 2)]

    def vjp(cotangent: Array) -> dict[str, Array]:
        return combine(cotangent, [pair.gradients for pair in taken_pairs], -1)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return combine(np.abs(cotangent), [pair.gradient_scales for pair in taken_pairs], 1)

    def along(tangents: Arrays) -> list[tuple[Array, Array]]:
        v = as_rows(**{name: tangents[name] for name in ("anchor", "positive", "negative")})
        return [(v[i], v[j]) for i, j in ends]

    def hvp(cotangent: Array, tangents: Arrays) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            pairs = [pair.second(*v) for pair, v in zip(taken_pairs, along(tangents), strict=False)]
        return combine(cotangent, pairs, -1)

    def hvp_scale(cotangent: Array, tangents: Arrays) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            pairs = [pair.second_scales(*v) for pair, v in zip(taken_pairs, along(tangents), strict=False)]
        return combine(np.abs(cotangent), pairs, 1)

    distances = tuple(pair.value for pair in taken_pairs)
    return Evaluation(value, scale, vjp, vjp_scale, decisions, distances, hvp, hvp_scale)
