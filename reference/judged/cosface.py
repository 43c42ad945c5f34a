"""CosFace loss: what the judge asks besides value and gradient."""

from __future__ import annotations

import numpy as np

from lossproof.reference.cosface import CosFace
from lossproof.reference.judged.class_weights import decide_zero, row_scales
from lossproof.reference.judged.cross_entropy import UNDERFLOW
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.typing import Array


@judge.register
def _(found: CosFace, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, found.takes_part)
    decide_zero(found.x[1], found.w[1], decisions)
    s, p, own, rest = found.scale, found.probability, found.own, found.rest
    error = (4 + found.margin) * s
    others = np.where(own, rest[:, None], 1 - p)
    size = p * (1 + np.where(p == 0, 0, found.surprise) + error * others) + own + UNDERFLOW
    size = s * np.where(found.zero, 0, size)

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return row_scales(found, cotangent, size, found.x, found.w)

    scale = reduced(1 + found.terms + error * rest, found)
    return Evaluation(found.value(), scale, found.gradients, vjp_scale, decisions)
