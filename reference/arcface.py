"""ArcFace loss (spec/arcface.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
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

BEYOND_PI = ("keep", "linear", "continuous")


def arcface_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    class_weights: ArrayLike,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    beyond_pi: str = "keep",
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the ArcFace loss of rows, in float64.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * cos(theta_y + margin)`` for the label y, where theta_j is
    the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), any float dtype and length.
        labels: integers of shape (B,) in [0, C).
        class_weights: rows of shape (C, D), of the dtype of the embeddings or a wider one, any length.
        scale: [0, inf).
        margin: in radians, [0, pi].
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes
            ``cos(theta) - margin sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
        mask: booleans of shape (B,); True takes part.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: gradient 0 of the label's logit where the angle is 0 or pi; a zero row has cosine 0 and gives and gets no
    gradient. Clauses AF-1 to AF-17, CE-1, CE-3, CE-4, CV-1 to CV-38. Source: Deng et al. (2019), eq. 3.
    """
    loss = evaluate(
        embeddings, labels, class_weights, scale=scale, margin=margin, beyond_pi=beyond_pi, mask=mask,
        reduction=reduction,
    )  # fmt: skip
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    embeddings: ArrayLike,
    labels: ArrayLike,
    class_weights: ArrayLike,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    beyond_pi: str = "keep",
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("scale", scale, 0)
    check_real("margin", margin, 0, high=pi)  # AF-15
    check_choice("beyond_pi", beyond_pi, BEYOND_PI)  # CV-27
    check_choice("reduction", reduction, REDUCTIONS[:3])
    labels, takes_part, x = as_batch(labels, mask, embeddings=embeddings)
    tables = described(class_weights=class_weights, embeddings=embeddings)
    check_table("class_weights", *tables["class_weights"], "embeddings", x.shape[1], tables["embeddings"][1])
    (w,) = as_rows(class_weights=class_weights)
    if labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), 0, len(w) - 1)  # CV-33

    s, m = (w.dtype.type(number) for number in (scale, margin))
    decisions = Decisions(overrides, takes_part)
    rows = np.arange(len(x))
    own = labels[:, None] == np.arange(len(w))
    with np.errstate(all="ignore"):
        (x_unit, x_inverse), (w_unit, w_inverse) = unit_rows(x), unit_rows(w)  # AF-2
        zero = zero_pairs(x_inverse, w_inverse, decisions)  # AF-9
        cosine = x_unit @ w_unit.T
        c, y_unit, y_zero = cosine[rows, labels], w_unit[labels], zero[rows, labels]
        away = x_unit - c[:, None] * y_unit
        sine = np.where(y_zero, 1, np.sqrt(np.sum(away * away, axis=-1)))  # AF-4
        past = np.zeros(c.shape, bool)  # AF-5
        if beyond_pi != "keep":  # AF-8
            past = decisions.take("past pi", c < -np.cos(m), c + np.cos(m), np.ones_like(c), (False, True))
        shift = -m * np.sin(m) if beyond_pi == "linear" else np.cos(m) - 1  # AF-6, AF-7
        moved = np.where(past, c + shift, c * np.cos(m) - sine * np.sin(m))  # AF-1, AF-3
        logits = s * np.where(own, moved[:, None], cosine)
        found = cross_entropy(logits, labels, 0.0)
        value = reduce(found.value, takes_part, reduction)
        weight = weights(found.value, takes_part, reduction)

        # d z_y = s (slope dc - turn dsin); at sin = 0 the second is 0: AF-13
        slope, turn = np.where(past, 1, np.cos(m)), np.where(past | y_zero, 0, np.sin(m))
        corner = decisions.take("the angle is 0 or pi", np.zeros_like(sine), sine, np.ones_like(sine), (-1, 0, 1))
        p = found.probability
        rest = np.sum(np.where(own, 0, p), axis=-1)  # 1 - p_y
        scales = np.where(takes_part, 1 + found.value + 4 * s * rest, 0)
        others = np.where(own, rest[:, None], 1 - p)
        size = p * (1 + np.where(p == 0, 0, found.surprise) + 4 * s * others) + own + UNDERFLOW
        size = size + own * (rest * turn / np.where(sine == 0, 1, sine))[:, None]
        size = np.where(zero, 0, size)

    def part(cotangent: Array) -> Array:
        return np.where(weight != 0, cotangent * weight, 0)[:, None]

    def sine_gradient(far: Array, near: Array) -> Array:
        """Return the gradient of |far - c near| with respect to the row whose unit vector is `far`, times its norm."""
        along = (far - c[:, None] * near) / np.where(sine == 0, 1, sine)[:, None] - sine[:, None] * far
        return np.where((sine == 0)[:, None], corner[:, None], along)

    def vjp(cotangent: Array) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            to_logits = part(cotangent) * s * np.where(own, -rest[:, None], p)  # CE-4
            to_cosine = np.where(zero, 0, to_logits * np.where(own, slope[:, None], 1))  # AF-11, AF-12, AF-14
            to_sine = -(to_logits[rows, labels] * turn)[:, None]
            to_x = np.sum(to_cosine[..., None] * (w_unit - cosine[..., None] * x_unit[:, None]), axis=1)
            to_w = np.sum(to_cosine[..., None] * (x_unit[:, None] - cosine[..., None] * w_unit), axis=0)
            to_x = to_x + to_sine * sine_gradient(x_unit, y_unit)
            np.add.at(to_w, labels, to_sine * sine_gradient(y_unit, x_unit))
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
