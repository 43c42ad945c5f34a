"""Soft cross-entropy loss: what the judge asks besides value and gradient."""

from __future__ import annotations

import numpy as np

from lossproof.reference.judged.cross_entropy import UNDERFLOW
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.soft_cross_entropy import SoftCrossEntropy
from lossproof.reference.terms import times
from lossproof.reference.typing import Array


@judge.register
def _(found: SoftCrossEntropy, overrides: Overrides) -> Evaluation:
    p, sums = found.probability, np.sum(found.shares, axis=-1)
    of_logits = sums[:, None] * (2 * p + np.where(p == 0, 0, p * found.surprise) + UNDERFLOW) + found.shares
    of_targets = found.kept * np.where(found.left_out, 0, 1 + found.surprise)

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        w = times(found.weights(), np.abs(cotangent))[:, None]
        return {"logits": times(w, of_logits), "targets": times(w, of_targets)}

    scale, decisions = reduced(sums + found.terms, found), Decisions(overrides, found.takes_part)
    return Evaluation(found.value(), scale, found.gradients, vjp_scale, decisions)
