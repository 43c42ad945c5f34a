"""Cross-entropy loss (spec/cross_entropy.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.decisions import Decisions, Place
from lossproof.reference.evaluation import Evaluation, as_batch
from lossproof.reference.reductions import reduce, weights
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_label_range, check_real

UNDERFLOW = 2.0**-100  # of a gradient's error scale: an exponential below the normal numbers may be 0


@dataclass(frozen=True)
class Terms:
    """The terms of a batch of logits (B, K), with what their gradient p - t is made of."""

    value: Array  # (B,)
    probability: Array  # (B, K), p
    target: Array  # (B, K), t
    surprise: Array  # (B, K), -log p


def cross_entropy(logits: Array, labels: Array, label_smoothing: float) -> Terms:
    """Return the terms; every sum is one of numbers that are not negative, so nothing cancels."""
    rows, classes = logits.shape
    target = np.full(logits.shape, logits.dtype.type(label_smoothing) / classes)  # CE-2
    target[np.arange(rows), labels] += 1 - logits.dtype.type(label_smoothing)
    below = np.max(logits, axis=-1, keepdims=True) - logits  # CE-3
    powers = np.exp(-below)
    total = np.sum(powers, axis=-1, keepdims=True)
    shares = np.where(target == 0, 0, target * below)  # CE-7; CE-9 where the target is not 0
    value = np.log(total[:, 0]) + np.sum(shares, axis=-1)  # CE-1, CE-5, CE-10
    return Terms(value, powers / total, target, np.log(total) + below)


def cross_entropy_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    label_smoothing: float = 0.0,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the cross-entropy of rows of logits with the labels' classes, in float64.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) onehot(label) + label_smoothing / K``.

    Args:
        logits: rows of shape (B, K), any float dtype; unscaled logarithms of probabilities.
        labels: integers of shape (B,) in [0, K).
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1].
        mask: booleans of shape (B,); True takes part.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses CE-1 to CE-12, CV-1 to CV-38.
    Source: Deng et al. (2019), eq. 1; smoothing: Szegedy et al. (2016), section 7.
    """
    loss = evaluate(logits, labels, label_smoothing=label_smoothing, mask=mask, reduction=reduction)
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    label_smoothing: float = 0.0,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("label_smoothing", label_smoothing, 0, high=1)  # CE-6, CV-28
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    labels, takes_part, z = as_batch(labels, mask, logits=logits)
    if labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), 0, z.shape[1] - 1)  # CV-33

    with np.errstate(all="ignore"):
        found = cross_entropy(z, labels, float(label_smoothing))
        value = reduce(found.value, takes_part, reduction)
        weight = weights(found.value, takes_part, reduction)
        scales = np.where(takes_part, 1 + found.value, 0)
        p, t = found.probability, found.target
        size = p + np.where(p == 0, 0, p * found.surprise) + t + UNDERFLOW

    def weighted(cotangent: Array, part: Array) -> dict[str, Array]:
        w = np.where(weight != 0, cotangent * weight, 0)[:, None]
        with np.errstate(all="ignore"):
            return {"logits": np.where(w != 0, w * part, 0)}

    def vjp(cotangent: Array) -> dict[str, Array]:
        return weighted(cotangent, p - t)  # CE-4, CE-8

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return weighted(np.abs(cotangent), size)

    scale = scales if reduction == "none" else np.asarray(np.sum(weight * scales))
    return Evaluation(value, scale, vjp, vjp_scale, Decisions(overrides, takes_part))
