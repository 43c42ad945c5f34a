"""Center loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from lossproof.reference.center import Center
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.typing import Array


@judge.register
def _(found: Center, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, found.takes_part)
    above, below = found.above, found.below
    if found.floor > 0:
        above = decisions.take("above the floor", above, found.square - found.floor, found.kept, (False, True))
    if found.ceiling < inf:
        below = decisions.take("below the ceiling", below, found.ceiling - found.square, found.kept, (False, True))
    taken = replace(found, above=above, below=below)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        rows = np.abs(taken.gradients(cotangent)["embeddings"])
        visits = np.maximum(np.bincount(found.labels[found.takes_part], minlength=found.classes), 1)
        return {"embeddings": rows, "centers": found.by_class(rows) * np.sqrt(visits)[:, None]}

    return Evaluation(taken.value(), reduced(found.terms, taken), taken.gradients, vjp_scale, decisions)
