"""Batch-all triplet loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.batch_all import BatchAll
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import judged
from lossproof.reference.judged.evaluation import Evaluation, PairError, judge
from lossproof.reference.judged.pairwise import reach
from lossproof.reference.typing import Array


@judge.register
def _(found: BatchAll, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, np.any(found.valid, axis=2) | np.any(found.valid, axis=1))
    pair = judged(found.pair, "d", decisions)
    spread, scale = reach(pair, found.batch), pair.scale
    decisions.participates = found.valid
    undecided = found.margin + spread[:, :, None] + spread[:, None, :]
    active = decisions.take("hinge", ~(found.slack <= 0), found.slack, undecided, (False, True)) & found.valid
    taken = replace(found, pair=pair, active=active)
    scale = np.where(active, found.margin + scale[:, :, None] + scale[:, None, :], 0)
    often = active.sum(axis=2) + active.sum(axis=1)

    @np.errstate(all="ignore")
    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return taken.to_rows(np.abs(cotangent), often, pair.gradient_scales)

    def pair_errors(error: PairError, turn: PairError, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        added, turns = error(pair.value), np.broadcast_to(turn(pair.value)[..., None], pair.gradients[0].shape)
        added = np.where(active, added[:, :, None] + added[:, None, :], 0)
        return taken.reduced(added), taken.to_rows(np.abs(cotangent), often, (turns, turns))

    return Evaluation(
        taken.value(), taken.reduced(scale), taken.gradients, vjp_scale, decisions,
        pair_errors=pair_errors, terms=int(np.count_nonzero(found.valid)),
    )  # fmt: skip
