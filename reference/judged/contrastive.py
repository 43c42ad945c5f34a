"""Contrastive loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.contrastive import Contrastive
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import judged
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.terms import times
from lossproof.reference.typing import Array


@judge.register
def _(found: Contrastive, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, found.takes_part)
    pair = judged(found.pair, "d(x1, x2)", decisions)
    slack = np.where(found.apart, found.margin - pair.value, np.inf)
    outcome = np.where(found.apart, found.active, True)
    active = decisions.take("hinge", outcome, slack, found.margin + pair.scale, (False, True))  # CV-13
    taken = replace(found, pair=pair, active=active)
    reach = np.where(found.apart, found.margin + pair.scale, pair.scale)
    steepest = 2 * found.factor * reach[..., None]
    size = np.abs(taken.slope())[..., None] + 2.0**-24 * steepest  # where slope and g are 0 each is a rounding
    scales = [steepest * np.abs(g) + size * c for g, c in zip(pair.gradients, pair.gradient_scales, strict=True)]

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        w = times(taken.weights(), np.abs(cotangent))[..., None]
        return {name: times(w, scale) for name, scale in zip(("x1", "x2"), scales, strict=True)}

    scale = reduced(2 * found.factor * reach**2, taken)
    return Evaluation(taken.value(), scale, taken.gradients, vjp_scale, decisions, (pair.value,))
