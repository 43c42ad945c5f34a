"""CosFace loss (spec/cosface.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.class_weights import times, unit_rows, zero_pairs
from lossproof.reference.cross_entropy import UNDERFLOW, cross_entropy
from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.evaluation import Evaluation, as_batch, as_rows, described
from lossproof.reference.reductions import reduce, weights
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_label_range, check_real, check_table


def cosface_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    class_weights: ArrayLike,
    *,
    scale: float = 64.0,
    margin: float = 0.35,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the CosFace loss of rows, in float64.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * (cos(theta_y) - margin)`` for the label y, where theta_j
    is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), any float dtype and length.
        labels: integers of shape (B,) in [0, C).
        class_weights: rows of shape (C, D), of the dtype of the embeddings or a wider one, any length.
        scale: [0, inf).
        margin: in the unit of the cosine, [0, inf).
        mask: booleans of shape (B,); True takes part.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a zero row has cosine 0 and gives and gets no gradient. Clauses CF-1 to CF-10, CE-1, CE-3, CE-4,
    CV-1 to CV-38. Source: Wang et al. (2018), eq. 4.
    """
    loss = evaluate(embeddings, labels, class_weights, scale=scale, margin=margin, mask=mask, reduction=reduction)
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    embeddings: ArrayLike,
    labels: ArrayLike,
    class_weights: ArrayLike,
    *,
    scale: float = 64.0,
    margin: float = 0.35,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("scale", scale, 0)
    check_real("margin", margin, 0)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    labels, takes_part, x = as_batch(labels, mask, embeddings=embeddings)
    tables = described(class_weights=class_weights, embeddings=embeddings)
    check_table("class_weights", *tables["class_weights"], "embeddings", x.shape[1], tables["embeddings"][1])
    (w,) = as_rows(class_weights=class_weights)
    if labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), 0, len(w) - 1)  # CV-33

    s, m = (w.dtype.type(number) for number in (scale, margin))
    decisions = Decisions(overrides, takes_part)
    own = labels[:, None] == np.arange(len(w))
    with np.errstate(all="ignore"):
        (x_unit, x_inverse), (w_unit, w_inverse) = unit_rows(x), unit_rows(w)  # CF-2
        zero = zero_pairs(x_inverse, w_inverse, decisions)  # CF-4
        cosine = x_unit @ w_unit.T
        found = cross_entropy(s * np.where(own, cosine - m, cosine), labels, 0.0)  # CF-1, CF-3
        value = reduce(found.value, takes_part, reduction)
        weight = weights(found.value, takes_part, reduction)

        p = found.probability
        rest = np.sum(np.where(own, 0, p), axis=-1)  # 1 - p_y
        scales = np.where(takes_part, 1 + found.value + (4 + m) * s * rest, 0)
        others = np.where(own, rest[:, None], 1 - p)
        size = p * (1 + np.where(p == 0, 0, found.surprise) + (4 + m) * s * others) + own + UNDERFLOW
        size = np.where(zero, 0, size)

    def part(cotangent: Array) -> Array:
        return np.where(weight != 0, cotangent * weight, 0)[:, None]

    def vjp(cotangent: Array) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            to_cosine = part(cotangent) * s * np.where(own, -rest[:, None], p)  # CE-4
            to_cosine = np.where(zero, 0, to_cosine)[..., None]  # CF-8
            to_x = np.sum(to_cosine * (w_unit - cosine[..., None] * x_unit[:, None]), axis=1)  # CF-6, CF-7
            to_w = np.sum(to_cosine * (x_unit[:, None] - cosine[..., None] * w_unit), axis=0)
            to_x = np.where((weight == 0)[:, None], 0, times(to_x, x_inverse))
            return {"embeddings": to_x, "class_weights": times(to_w, w_inverse)}

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            sizes = np.abs(part(cotangent)) * s * size
            to_x = (np.sum(sizes, axis=-1) * x_inverse)[:, None] * np.ones_like(x)
            to_w = (np.sum(sizes, axis=0) * w_inverse)[:, None] * np.ones_like(w)
            return {"embeddings": to_x, "class_weights": to_w}

    reduced = scales if reduction == "none" else np.asarray(np.sum(weight * scales))
    return Evaluation(value, reduced, vjp, vjp_scale, decisions)
