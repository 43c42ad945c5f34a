"""OIM loss: what the judge asks besides value and gradient. It is smooth, so nothing is decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.oim import Oim
from lossproof.reference.typing import Array


@judge.register
def _(found: Oim, overrides: Overrides) -> Evaluation:
    products = np.abs(found.rows[:, None, :] * found.memory)
    size = 1 + np.max(np.sum(products, axis=-1), axis=1) / found.temperature
    steepest = (1 + size)[:, None] * np.max(np.abs(found.memory), axis=0) / found.temperature

    def vjp(cotangent: Array) -> dict[str, Array]:
        return {"embeddings": found.gradients(cotangent)["embeddings"]}  # the memory has none

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return {"embeddings": replace(found, slope=steepest).gradients(np.abs(cotangent))["embeddings"]}

    decisions = Decisions(overrides, found.takes_part)
    return Evaluation(found.value(), reduced(size, found), vjp, vjp_scale, decisions)
