"""Contrastive loss (spec/contrastive.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.distances import metric
from lossproof.reference.evaluation import Evaluation, as_rows, described
from lossproof.reference.reductions import reduce, weights
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_distance, check_mask, check_real, check_rows


def contrastive_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    dissimilar: ArrayLike,
    *,
    margin: float = 1.0,
    factor: float = 0.5,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float = 0.0,
    eps_at: str = "difference",
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the contrastive loss of pairs of rows, in float64.

    ``factor * d(x1, x2)**2`` for a similar pair and ``factor * max(0, margin - d(x1, x2))**2`` for a dissimilar one.

    Args:
        x1: rows of shape (..., D), any float dtype.
        x2: rows, same shape.
        dissimilar: booleans of shape (...); True for a pair that belongs apart.
        margin: in the unit of the distance, [0, inf).
        factor: of both parts, [0, inf); 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: where it is added: "difference", "root" or "floor".
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN included, changes nothing.
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are positive).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (...) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: coincident rows have gradient 0, and so has a pair at the margin; the others as for the distance.
    Clauses CO-1 to CO-10, DI-1 to DI-21, CV-1 to CV-38. Source: Hadsell, Chopra & LeCun (2006), eq. 4.
    """
    loss = evaluate(
        x1, x2, dissimilar, margin=margin, factor=factor, distance=distance, p=p, eps=eps, eps_at=eps_at, mask=mask,
        reduction=reduction,
    )  # fmt: skip
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    x1: ArrayLike,
    x2: ArrayLike,
    dissimilar: ArrayLike,
    *,
    margin: float = 1.0,
    factor: float = 0.5,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float = 0.0,
    eps_at: str = "difference",
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    rows = described(x1=x1, x2=x2)
    check_rows(rows)  # CV-24, CV-25, CV-26
    check_real("margin", margin, 0)  # CO-10, CV-28
    check_real("factor", factor, 0)
    check_distance(distance, p, eps, eps_at, default_eps=0.0)  # DI-20, DI-21
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    apart = np.asarray(dissimilar)
    check_mask("dissimilar", apart.shape, apart.dtype.name, rows["x1"][0][:-1])  # CO-9
    takes_part = None if mask is None else np.asarray(mask)
    if takes_part is not None:
        check_mask("mask", takes_part.shape, takes_part.dtype.name, rows["x1"][0][:-1])  # CV-29, CV-30

    margin, factor, p, eps = float(margin), float(factor), float(p), float(eps)
    x, y = as_rows(x1=x1, x2=x2)
    if takes_part is not None:
        x, y = (np.where(takes_part[..., None], row, 0) for row in (x, y))  # CV-8, CV-9
    decisions = Decisions(overrides, takes_part)
    with np.errstate(all="ignore"):
        pair = metric(distance, p, eps, eps_at)(x, y, "d(x1, x2)", decisions)
        d = pair.value
        slack = np.where(apart, margin - d, np.inf)
        active = decisions.take("hinge", ~(slack <= 0), slack, margin + pair.scale, (False, True))  # CV-13
        gap = np.where(margin - d <= 0, 0, margin - d)  # NaN stays, CV-10
        terms = factor * np.where(apart, gap, d) ** 2  # CO-1, CO-2, CO-3, CO-6
        reach = np.where(apart, margin + pair.scale, pair.scale)
        scale = 2 * factor * reach**2
        value = reduce(terms, takes_part, reduction)
        weight = weights(terms, takes_part, reduction)
        scale = reduce(scale, takes_part, "none") if reduction == "none" else np.asarray(np.sum(weight * scale))
        slope = 2 * factor * np.where(apart, np.where(active, d - margin, 0), d)  # d term / d d: CO-7

    def spread(cotangent: Array, parts: tuple[Array, Array]) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            w = np.where(weight != 0, cotangent * weight, 0)[..., None]
            return {name: np.where(w != 0, w * part, 0) for name, part in zip(("x1", "x2"), parts, strict=True)}

    def vjp(cotangent: Array) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            first, second = (np.where(slope[..., None] == 0, 0, slope[..., None] * g) for g in pair.gradients)  # CO-8
        return spread(cotangent, (first, second))

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        steepest = 2 * factor * reach[..., None]
        size = np.abs(slope)[..., None] + 2.0**-24 * steepest  # where slope and g are 0 each is a rounding
        with np.errstate(all="ignore"):
            first, second = (
                steepest * np.abs(g) + size * c for g, c in zip(pair.gradients, pair.gradient_scales, strict=True)
            )
        return spread(np.abs(cotangent), (first, second))

    return Evaluation(value, scale, vjp, vjp_scale, decisions, (d,))
