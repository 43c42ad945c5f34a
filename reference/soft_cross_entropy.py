"""Soft cross-entropy loss (spec/soft_cross_entropy.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.inputs import as_class_weights, as_mask, as_rows, as_weights, described, weighing
from lossproof.reference.terms import Terms, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_batch,
    check_choice,
    check_real,
    check_target_range,
    check_targets,
)


@differentiable
def soft_cross_entropy_loss(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    label_smoothing: float = 0.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    class_weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> SoftCrossEntropy:
    """Return the cross-entropy of rows of logits with targets that are probabilities, in float64.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) targets + label_smoothing / K``,
    and ``class_weights_k t_k`` in place of ``t_k`` where they are given.

    Args:
        logits: rows of shape (B, K), any float dtype; unscaled logarithms of probabilities.
        targets: rows of shape (B, K), same dtype or a wider one, [0, inf]; a row need not add up to 1.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1].
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a
            mean divides by their sum.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the targets
            give to its class. A mean does not divide by them. No table that is learned, as in ArcFace.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses ST-1 to ST-22, CV-1 to CV-46.
    Source: Hinton et al. (2015), eq. 2; smoothing: Szegedy et al. (2016), section 7.
    """
    check_real("label_smoothing", label_smoothing, 0, high=1)  # ST-8, CV-28
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    known = described(logits=logits, targets=targets)
    check_batch("logits", *known["logits"])  # CV-34
    check_targets(*known["targets"], *known["logits"])  # ST-14
    w, c = as_weights(weights, mask, logits=logits), as_class_weights(class_weights, logits=logits)
    takes_part = as_mask(weighing(w, mask), known["logits"][0][:1])
    z, t = (np.where(takes_part[:, None], row, 0) for row in as_rows(logits=logits, targets=targets))  # CV-8, CV-9
    check_target_range(float(np.fmin.reduce(t, axis=None, initial=0.0)))  # ST-15; NaN is looked at in its term
    return soft_cross_entropy(z, t, float(label_smoothing), takes_part, reduction, w, c)


def soft_cross_entropy(
    logits: Array,
    targets: Array,
    label_smoothing: float,
    takes_part: Array,
    reduction: str,
    w: Array | None,
    c: Array | None,
) -> SoftCrossEntropy:
    """Return the terms; every sum is one of numbers that are not negative, so nothing cancels."""
    smoothing = logits.dtype.type(label_smoothing)
    kept = 1 - smoothing if c is None else (1 - smoothing) * c
    shares = (1 - smoothing) * targets + smoothing / logits.shape[1]  # ST-2, ST-3, ST-7
    shares = shares if c is None else c * shares  # ST-17
    below = np.max(logits, axis=-1, keepdims=True) - logits  # ST-4
    powers = np.exp(-below)
    total = np.sum(powers, axis=-1, keepdims=True)
    surprise = np.log(total) + below
    left_out = (shares == 0) & np.isneginf(logits)  # ST-9, ST-20
    terms = np.sum(np.where(left_out, 0, shares * surprise), axis=-1)  # ST-1, CV-10; ST-11 where there is a share
    p = powers / total
    return SoftCrossEntropy(terms, takes_part, reduction, p, shares, surprise, left_out, kept, unit_weights=w)


@dataclass(frozen=True)
class SoftCrossEntropy(Terms):
    """The terms of a batch of logits."""

    probability: Array  # (B, K), p
    shares: Array  # (B, K), t', or c t'
    surprise: Array  # (B, K), -log p
    left_out: Array  # (B, K), classes that cannot be
    kept: Array  # () or (K,), the part of a target that smoothing leaves to it, times c

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Send each logit T p - t', ST-5, and each target its part of -log p, ST-6, ST-19; ST-10 for those left out."""
        own = np.sum(self.shares, axis=-1, keepdims=True) * self.probability - self.shares
        of_target = np.where(self.left_out, 0, self.kept * self.surprise)
        return {"logits": times(w[:, None], own), "targets": times(w[:, None], of_target)}
