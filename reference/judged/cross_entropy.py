"""Cross-entropy loss: what the judge asks besides value and gradient."""

from __future__ import annotations

import numpy as np

from lossproof.reference.cross_entropy import CrossEntropy, Weighed
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.terms import times
from lossproof.reference.typing import Array

UNDERFLOW = 2.0**-100  # of a gradient's error scale: an exponential below the normal numbers may be 0


@judge.register
def _(found: CrossEntropy, overrides: Overrides) -> Evaluation:
    p = found.probability
    size = p + np.where(p == 0, 0, p * found.surprise) + found.target + UNDERFLOW
    return _scaled(found, overrides, 1 + found.terms, size)


@judge.register
def _(found: Weighed, overrides: Overrides) -> Evaluation:
    p, sums = found.probability, np.sum(found.target, axis=-1)
    size = sums[:, None] * (2 * p + np.where(p == 0, 0, p * found.surprise) + UNDERFLOW) + found.target
    return _scaled(found, overrides, sums + found.terms, size)


def _scaled(found: CrossEntropy, overrides: Overrides, of_terms: Array, size: Array) -> Evaluation:
    """Return what the judge asks, from the error scales of the terms and of the gradient's entries."""

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return {"logits": times(times(found.weights(), np.abs(cotangent))[:, None], size)}

    scale, decisions = reduced(of_terms, found), Decisions(overrides, found.takes_part)
    return Evaluation(found.value(), scale, found.gradients, vjp_scale, decisions)
