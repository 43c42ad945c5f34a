"""Circle loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.circle import Circle, Pairs
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.terms import times
from lossproof.reference.typing import Array

UNDERFLOW = 2.0**-100  # times the roundoff of float32, what an exponential below the normal numbers may lose


@judge.register
def _(found: Circle, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, found.takes_part)
    _decide_zero(found, decisions)
    positives, negatives = (_decided(kind, decisions) for kind in found.kinds)
    taken = replace(found, kinds=(positives, negatives))
    scale = np.where(found.either, 1 + found.terms + _scale(positives) + _scale(negatives), 0)

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        seed = times(found.weights(), np.abs(cotangent))[:, None]
        slopes = np.zeros_like(found.similarity)
        for kind in taken.kinds:
            size = np.abs(kind.slope) * (2 + scale[:, None]) + (2 if kind.detach_weights else 4) * kind.gamma
            entry = found.share[:, None] * kind.softmax * size + kind.gamma * UNDERFLOW
            slopes = slopes + seed * np.where(kind.chosen & found.either[:, None], entry, 0)
        anchors, others = (replace(rows, unit=np.abs(rows.unit)) for rows in found.units)
        sizes = replace(found, units=(anchors, others), similarity=-np.ones_like(slopes))  # so that everything is added
        return sizes.to_rows(slopes)

    return Evaluation(taken.value(), reduced(scale, taken), taken.gradients, vjp_scale, decisions)


def _decide_zero(found: Circle, decisions: Decisions) -> None:
    """Record which rows are 0: the anchors, and the candidates where they are a second set."""
    sides = [("a row is 0", found.takes_part, found.units[0])]
    sides += [("a candidate is 0", found.sets.candidates_take_part, found.units[1])] * found.sets.second
    for name, takes_part, rows in sides:
        of_side = Decisions(decisions.overrides, takes_part)
        of_side.take(name, rows.norm > 0, rows.norm, rows.norm, (False, True))
        decisions.taken.extend(of_side.taken)


def _decided(kind: Pairs, decisions: Decisions) -> Pairs:
    if kind.detach_weights:  # nothing jumps: the slope itself is 0 where the weight is
        return kind
    slack = np.where(kind.chosen, kind.room, np.inf)
    name = "weight of a positive" if kind.sign < 0 else "weight of a negative"
    return replace(kind, above=decisions.take(name, kind.above, slack, np.ones_like(slack), (False, True)))  # CV-13


def _scale(kind: Pairs) -> Array:
    """Return the error scale of the exponents, (B,)."""
    reach = np.where(kind.chosen, kind.weight + np.abs(kind.beyond), 0)
    return np.asarray(2 * kind.gamma * np.max(reach, axis=1, initial=0))
