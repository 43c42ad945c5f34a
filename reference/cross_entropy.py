"""Cross-entropy loss (spec/cross_entropy.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.inputs import as_batch, as_class_weights, as_weights, weighing
from lossproof.reference.terms import Terms, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_label_range, check_real


@differentiable
def cross_entropy_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    label_smoothing: float = 0.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    class_weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> CrossEntropy:
    """Return the cross-entropy of rows of logits with the labels' classes, in float64.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) onehot(label) + label_smoothing / K``,
    and ``class_weights_k t_k`` in place of ``t_k`` where they are given.

    Args:
        logits: rows of shape (B, K), any float dtype; unscaled logarithms of probabilities.
        labels: integers of shape (B,) in [0, K).
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1].
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a
            mean divides by their sum.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the target
            gives to its class, and a mean divides by those of the labels. No table that is learned, as in ArcFace.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses CE-1 to CE-18, CV-1 to CV-46.
    Source: Deng et al. (2019), eq. 1; smoothing: Szegedy et al. (2016), section 7.
    """
    check_real("label_smoothing", label_smoothing, 0, high=1)  # CE-6, CV-28
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w, c = as_weights(weights, mask, logits=logits), as_class_weights(class_weights, logits=logits)
    labels, takes_part, z = as_batch(labels, weighing(w, mask), logits=logits)
    if labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), 0, z.shape[1] - 1)  # CV-33
    return cross_entropy(z, labels, float(label_smoothing), takes_part, reduction, w, c)


def cross_entropy(
    logits: Array,
    labels: Array,
    label_smoothing: float,
    takes_part: Array,
    reduction: str,
    w: Array | None,
    c: Array | None = None,
) -> CrossEntropy:
    """Return the terms; every sum is one of numbers that are not negative, so nothing cancels."""
    rows, classes = logits.shape
    target = np.full(logits.shape, logits.dtype.type(label_smoothing) / classes)  # CE-2
    target[np.arange(rows), labels] += 1 - logits.dtype.type(label_smoothing)
    below = np.max(logits, axis=-1, keepdims=True) - logits  # CE-3
    powers = np.exp(-below)
    total = np.sum(powers, axis=-1, keepdims=True)
    shares = np.where(target == 0, 0, target * below)  # CE-7; CE-9 where the target is not 0
    terms = np.log(total[:, 0]) + np.sum(shares, axis=-1)  # CE-1, CE-5, CE-10
    p, surprise = powers / total, np.log(total) + below
    if c is None:
        return CrossEntropy(terms, takes_part, reduction, p, target, surprise, unit_weights=w)
    target = c * target
    left_out = (target == 0) & np.isneginf(logits)
    terms = np.sum(np.where(left_out, 0, target * surprise), axis=-1)  # CE-13, CE-16, CV-10
    return Weighed(terms, takes_part, reduction, p, target, surprise, c[labels], unit_weights=w)


@dataclass(frozen=True)
class CrossEntropy(Terms):
    """The terms of a batch of logits."""

    probability: Array  # (B, K), p
    target: Array  # (B, K), t
    surprise: Array  # (B, K), -log p

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Send each logit p - t: CE-4, CE-8."""
        return {"logits": times(w[:, None], self.probability - self.target)}


@dataclass(frozen=True)
class Weighed(CrossEntropy):
    """The terms of a batch of logits with class weights; `target` has their products c t."""

    of_labels: Array  # (B,), the class weight of each label

    def value(self) -> Array:
        """Return the loss: NaN where a term is that counts, also in a mean that divides by 0."""
        unknown = np.isnan(self.terms) & self.takes_part
        found = super().value()
        return np.asarray(np.nan) if found.ndim == 0 and unknown.any() else found  # CV-10

    def over(self, weight: Array) -> Array:
        """Return the weights of the terms over the class weights of the labels, weighed alike: CE-14."""
        total = np.sum(weight * self.of_labels)
        return np.asarray(weight / total if total > 0 else np.zeros_like(weight))

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Send each logit T p - c t: CE-15, CE-16."""
        own = np.sum(self.target, axis=-1, keepdims=True) * self.probability - self.target
        return {"logits": times(w[:, None], own)}
