"""Circle loss (spec/circle.md): the clauses in float64 numpy, value and derivatives."""

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
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_real

UNDERFLOW = 2.0**-100  # times the roundoff of float32, what an exponential below the normal numbers may lose


def circle_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.25,
    gamma: float = 256.0,
    detach_weights: bool = True,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Any:
    """Return the circle loss of a batch, in float64.

    For an anchor with similarities ``s`` (cosines) to its positives P and negatives N,
    ``log(1 + sum_N exp(gamma a_n (s_n - margin)) * sum_P exp(-gamma a_p (s_p - 1 + margin)))`` with the weights
    ``a_p = max(0, 1 + margin - s_p)`` and ``a_n = max(0, s_n + margin)``; 0 where P or N is empty.

    Args:
        embeddings: rows of shape (B, D), any float dtype; their lengths do not matter.
        labels: integers of shape (B,).
        margin: [-1, 1], in the unit of the cosine.
        gamma: scale of the exponents, [0, inf).
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
        mask: booleans of shape (B,); True takes part.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that have a
            positive and a negative).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradient of ``sum(cotangent * loss)`` with respect to the embeddings.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a weight clipped at 0 has derivative 0; a zero row has cosine 0 and no gradient. Clauses CI-1 to CI-15,
    CV-1 to CV-38. Source: Sun et al. (2020), eq. 4 to 9.
    """
    loss = evaluate(
        embeddings, labels, margin=margin, gamma=gamma, detach_weights=detach_weights, mask=mask, reduction=reduction
    )
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.25,
    gamma: float = 256.0,
    detach_weights: bool = True,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("margin", margin, -1, high=1)  # CV-28
    check_real("gamma", gamma, 0)
    check_bool("detach_weights", detach_weights)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    labels, takes_part, x = as_batch(labels, mask, embeddings=embeddings)  # CV-31, CV-34

    m, scale_factor = x.dtype.type(margin), float(gamma)
    decisions = Decisions(overrides, takes_part)
    both = takes_part[:, None] & takes_part & ~np.eye(len(x), dtype=bool)
    same = labels[:, None] == labels  # CV-32
    with np.errstate(all="ignore"):
        unit, inverse_norm = _normalised(x, decisions)  # CI-3
        similarity = unit @ unit.T
        kinds = [
            _pairs(similarity, both & same, -1, (1 + m, 1 - m), scale_factor, detach_weights, decisions),
            _pairs(similarity, both & ~same, 1, (-m, m), scale_factor, detach_weights, decisions),
        ]  # CI-2
        both_kinds = kinds[0].any & kinds[1].any
        exponent = np.where(both_kinds, kinds[0].log_sum + kinds[1].log_sum, -np.inf)
        terms = np.logaddexp(0, exponent)  # CI-1, CI-5, CI-6
        terms = np.where(np.isnan(similarity).any(axis=1), np.nan, terms)  # CI-9
        share = np.where(both_kinds, np.exp(-np.logaddexp(0, -exponent)), 0)  # of the second summand in the logarithm
        scale = np.where(both_kinds, 1 + terms + kinds[0].scale + kinds[1].scale, 0)
        counted = takes_part & (both_kinds | np.isnan(terms))  # CI-8
        value, weight = _reduced(terms, takes_part, counted, reduction)
        total = np.where(takes_part, scale, 0) if reduction == "none" else np.asarray(np.sum(weight * scale))

    def to_rows(slopes: Array, sign: int) -> Array:
        """Carry d loss / d similarity (B, B) to the rows; with sign +1 the error scale of that (CI-12)."""
        slopes = slopes + slopes.T
        u = unit if sign < 0 else np.abs(unit)
        along = similarity if sign < 0 else np.ones_like(similarity)
        turned = slopes @ u + sign * np.sum(slopes * along, axis=1)[:, None] * u
        return np.where(takes_part[:, None], turned * inverse_norm[:, None], 0)

    def vjp(cotangent: Array) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            seed = (np.where(weight != 0, cotangent * weight, 0) * share)[:, None]
            positive, negative = (seed * kind.softmax * kind.slope for kind in kinds)
            return {"embeddings": to_rows(positive + negative, -1)}

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            seed = np.where(weight != 0, np.abs(cotangent) * weight, 0)[:, None]
            rows = both_kinds[:, None]
            found = np.zeros_like(similarity)
            for kind in kinds:
                size = np.abs(kind.slope) * (2 + scale[:, None]) + (2 if detach_weights else 4) * scale_factor
                entry = share[:, None] * kind.softmax * size + scale_factor * UNDERFLOW
                found = found + seed * np.where(kind.chosen & rows, entry, 0)
            return {"embeddings": to_rows(found, 1)}

    return Evaluation(value, total, vjp, vjp_scale, decisions)


def _normalised(x: Array, decisions: Decisions) -> tuple[Array, Array]:
    """Return unit rows and 1/norm of each row; both are 0 for a zero row (DI-10, DI-18)."""
    largest = np.max(np.abs(x), axis=-1, initial=0)
    scaled = x / np.where(largest > 0, largest, 1)[:, None]  # so that no square leaves the range
    norm = np.sqrt(np.sum(scaled * scaled, axis=-1))
    decisions.take("a row is 0", norm > 0, largest * norm, largest * norm, (False, True))
    length = np.where(norm == 0, 1, norm)
    return scaled / length[:, None], np.where(norm == 0, 0, 1 / (length * np.where(largest > 0, largest, 1)))


@dataclass(frozen=True)
class _Pairs:
    """The pairs (B, B) of one kind, positive or negative."""

    chosen: Array
    slope: Array  # d exponent / d similarity
    log_sum: Array  # (B,), log of the sum of the exponentials
    softmax: Array  # the share of each pair in that sum
    scale: Array  # (B,), the error scale of the exponents

    @property
    def any(self) -> Array:
        return np.asarray(np.any(self.chosen, axis=1))


def _pairs(
    s: Array,
    chosen: Array,
    sign: int,
    centres: tuple[Array, Array],
    gamma: float,
    detach_weights: bool,
    decisions: Decisions,
) -> _Pairs:
    """Return the sum over exp(sign gamma a (s - delta)): positives with sign -1, negatives with +1.

    The weight a is max(0, sign (s - optimum)), and the centres are the optimum and delta (CI-4).
    """
    optimum, delta = centres
    room = sign * (s - optimum)
    above = ~(room <= 0)
    if not detach_weights:  # else nothing jumps: the slope itself is 0 where the weight is
        slack = np.where(chosen, room, np.inf)
        name = "weight of a positive" if sign < 0 else "weight of a negative"
        above = decisions.take(name, above, slack, np.ones_like(s), (False, True))  # CI-11, CV-13
    a = np.where(room <= 0, 0, room)
    exponent = sign * gamma * a * (s - delta)
    slope = sign * gamma * a  # CI-10
    if not detach_weights:
        slope = slope + gamma * np.where(above, s - delta, 0)  # CI-11
    pivot = np.max(np.where(chosen, exponent, -np.inf), axis=1, initial=-np.inf)
    pivot = np.where(np.isneginf(pivot), 0, pivot)[:, None]  # CI-7
    powers = np.where(chosen, np.exp(exponent - pivot), 0)
    total = np.sum(powers, axis=1)
    scale = 2 * gamma * np.max(np.where(chosen, a + np.abs(s - delta), 0), axis=1, initial=0)
    softmax = powers / np.where(total == 0, 1, total)[:, None]
    return _Pairs(chosen, slope, np.log(total) + pivot[:, 0], softmax, scale)


def _reduced(terms: Array, takes_part: Array, counted: Array, reduction: str) -> tuple[Array, Array]:
    """Return the loss and d loss / d term; `mean_nonzero` divides by the number of anchors that are counted (CI-8)."""
    if reduction != "mean_nonzero":
        return reduce(terms, takes_part, reduction), weights(terms, takes_part, reduction)
    weight = takes_part.astype(terms.dtype) / max(np.count_nonzero(counted), 1)
    return np.asarray(np.sum(np.where(takes_part, terms, 0) * weight)), weight
