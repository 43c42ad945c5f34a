"""Circle loss (spec/circle.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.candidates import Sets, as_sets
from lossproof.reference.inputs import as_weights
from lossproof.reference.terms import Terms, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_real


@differentiable
def circle_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.25,
    gamma: float = 256.0,
    detach_weights: bool = True,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    candidates: ArrayLike | None = None,
    candidate_labels: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    candidate_index: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Circle:
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
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that have a
            positive and a negative).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradient of ``sum(cotangent * loss)`` with respect to the embeddings.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a weight clipped at 0 has derivative 0; a zero row has cosine 0 and no gradient.
    Clauses CI-1 to CI-17, PW-9 to PW-14, CV-1 to CV-46. Source: Sun et al. (2020), eq. 4 to 9.
    """
    check_real("margin", margin, -1, high=1)  # CV-28
    check_real("gamma", gamma, 0)
    check_bool("detach_weights", detach_weights)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = as_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    m, scale = sets.rows.dtype.type(margin), float(gamma)

    anchors, others = unit_rows(sets.rows), unit_rows(sets.candidates)  # CI-3
    similarity = anchors.unit @ others.unit.T
    chosen = sets.pairs()
    positives = pairs(similarity, chosen[0], -1, (1 + m, 1 - m), scale, detach_weights)  # CI-2
    negatives = pairs(similarity, chosen[1], 1, (-m, m), scale, detach_weights)
    either = positives.any & negatives.any
    exponent = np.where(either, positives.log_sum + negatives.log_sum, -np.inf)
    terms = np.logaddexp(0, exponent)  # CI-1, CI-5, CI-6
    met = sets.candidates_take_part & ~sets.itself
    unknown = np.any(np.isnan(sets.rows), axis=1) | np.any(met & np.any(np.isnan(sets.candidates), axis=1), axis=1)
    terms = np.where(unknown, np.nan, terms)  # CI-9
    share = np.where(either, np.exp(-np.logaddexp(0, -exponent)), 0)
    kinds = (positives, negatives)
    return Circle(
        terms, sets.takes_part, reduction, sets, (anchors, others), similarity, kinds, either, share, unit_weights=w
    )


@dataclass(frozen=True)
class UnitRows:
    """Rows of length 1, and 0 for a zero row."""

    norm: Array  # (B,), of the rows as they stand
    unit: Array  # (B, D)
    inverse: Array  # (B,), of the norm; 0 for a zero row

    def received(self, slopes: Array, similarity: Array, met: UnitRows) -> Array:
        """Return what reaches these rows from d loss / d similarity (B, M) to the rows that they met: CI-12."""
        reached, unknown = np.any(slopes != 0, axis=1), np.any(np.isnan(met.unit), axis=1)
        others = np.where(unknown[:, None], 0, met.unit)  # CV-11, CV-42: or a NaN would reach every row
        own = np.where(reached[:, None], self.unit, 0)
        turned = slopes @ others - np.sum(times(slopes, similarity), axis=1)[:, None] * own
        turned = np.where(np.any((slopes != 0) & unknown, axis=1)[:, None], np.nan, turned)
        return np.where(reached[:, None], turned * self.inverse[:, None], 0)


def unit_rows(x: Array) -> UnitRows:
    """Return the rows at length 1 (DI-10, DI-18)."""
    size = np.max(np.abs(x), axis=-1, initial=0)
    unit = np.where(size > 0, size, 1)
    scaled = x / unit[:, None]  # so that no square leaves the range
    norm = np.sqrt(np.sum(scaled * scaled, axis=-1))
    length = np.where(norm == 0, 1, norm)
    return UnitRows(size * norm, scaled / length[:, None], np.where(norm == 0, 0, 1 / (length * unit)))


@dataclass(frozen=True)
class Pairs:
    """The pairs (B, M) of one kind, positive or negative, in the sum over exp(sign gamma a (s - delta))."""

    chosen: Array
    sign: int
    gamma: float
    detach_weights: bool
    room: Array  # sign (s - optimum)
    weight: Array  # a
    beyond: Array  # s - delta
    above: Array  # where the weight is not clipped
    log_sum: Array  # (B,), log of the sum of the exponentials
    softmax: Array  # the share of each pair in that sum

    @property
    def any(self) -> Array:
        """Which anchors have such a pair."""
        return np.asarray(np.any(self.chosen, axis=1))

    @property
    def slope(self) -> Array:
        """The derivative of each exponent by its similarity."""
        slope = self.sign * self.gamma * self.weight  # CI-10
        if not self.detach_weights:
            slope = slope + self.gamma * np.where(self.above, self.beyond, 0)  # CI-11
        return np.asarray(np.where(self.chosen, slope, 0))  # CV-11: what is in no pair may be NaN


def pairs(
    s: Array, chosen: Array, sign: int, centres: tuple[Array, Array], gamma: float, detach_weights: bool
) -> Pairs:
    """Return the pairs of one kind: positives with sign -1, negatives with +1.

    The weight is max(0, sign (s - optimum)), and the centres are the optimum and delta (CI-4).
    """
    optimum, delta = centres
    room = sign * (s - optimum)
    a = np.where(room <= 0, 0, room)
    exponent = sign * gamma * a * (s - delta)
    pivot = np.max(np.where(chosen, exponent, -np.inf), axis=1, initial=-np.inf)
    pivot = np.where(np.isneginf(pivot), 0, pivot)[:, None]  # CI-7
    powers = np.where(chosen, np.exp(exponent - pivot), 0)
    total = np.sum(powers, axis=1)
    softmax = powers / np.where(total == 0, 1, total)[:, None]
    log_sum = np.log(total) + pivot[:, 0]
    return Pairs(chosen, sign, gamma, detach_weights, room, a, s - delta, ~(room <= 0), log_sum, softmax)


@dataclass(frozen=True)
class Circle(Terms):
    """The terms of the anchors of a batch."""

    sets: Sets
    units: tuple[UnitRows, UnitRows]  # of the anchors and of the candidates
    similarity: Array
    kinds: tuple[Pairs, Pairs]
    either: Array  # the anchors with a positive and a negative
    share: Array  # of the second summand in the logarithm

    def counted(self) -> Array:
        """Return which terms a mean is over: CI-8."""
        if self.reduction == "mean_nonzero":
            return np.asarray(self.takes_part & (self.either | np.isnan(self.terms)))
        return self.takes_part

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Carry the gradient of the terms to the similarities, and on to the rows."""
        seed = times(w, self.share)[:, None]
        positive, negative = (times(seed, kind.softmax * kind.slope) for kind in self.kinds)
        return self.to_rows(positive + negative)

    def to_rows(self, slopes: Array) -> dict[str, Array]:
        """Carry d loss / d similarity (B, M) to the rows of both sides: CI-12."""
        anchors, others = self.units
        of_candidates = others.received(slopes.T, self.similarity.T, anchors)
        return self.sets.gradients(anchors.received(slopes, self.similarity, others), of_candidates)
