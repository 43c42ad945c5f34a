"""ArcFace loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.arcface import ArcFace, arcface
from lossproof.reference.judged.class_weights import decide_zero, row_scales
from lossproof.reference.judged.cross_entropy import UNDERFLOW
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.typing import Array


@judge.register
def _(found: ArcFace, overrides: Overrides) -> Evaluation:
    decisions, angles, m = Decisions(overrides, found.takes_part), found.angles, found.margin
    decide_zero(angles.x[1], angles.w[1], decisions)
    c, sine, past = angles.c, angles.sine, np.zeros(angles.c.shape, bool)
    if found.beyond_pi != "keep":
        past = decisions.take("past pi", c < -np.cos(m), c + np.cos(m), np.ones_like(c), (False, True))
    options = found.beyond_pi, found.takes_part, found.reduction, found.unit_weights
    found = arcface(angles, past, found.scale, m, *options)
    corner = decisions.take("the angle is 0 or pi", np.zeros_like(sine), sine, np.ones_like(sine), (-1, 0, 1))
    taken = replace(found, corner=corner)

    s, p, own, rest = found.scale, found.probability, found.own, found.rest
    others = np.where(own, rest[:, None], 1 - p)
    size = p * (1 + np.where(p == 0, 0, found.surprise) + 4 * s * others) + own + UNDERFLOW
    size = size + own * (rest * found.turn / np.where(sine == 0, 1, sine))[:, None]
    size = s * np.where(angles.zero, 0, size)

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return row_scales(found, cotangent, size, angles.x, angles.w)

    scale = reduced(1 + found.terms + 4 * s * rest, taken)
    return Evaluation(taken.value(), scale, taken.gradients, vjp_scale, decisions)
