"""Batch-all triplet loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.batch_all import BatchAll, Triplets
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import judged
from lossproof.reference.judged.evaluation import Evaluation, PairError, judge
from lossproof.reference.judged.pairwise import reach, undecided_pairs
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


def undecided_share(
    error: float,
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: ArrayLike | None = None,
) -> tuple[float, float]:
    """Return how far the fraction of active triplets may fall, and rise, by hinges that rounding decides: BA-10."""
    found = Triplets.of(embeddings, labels, distance, pairwise, max_positives, mask)
    if not np.all(np.isfinite(found.batch.sets.rows)):
        return 0.0, 0.0
    spread = reach(undecided_pairs(found.pair), found.batch)
    less = more = every = 0
    for (near, far), (of_near, of_far) in zip(found.by_anchor(found.pair.value), found.by_anchor(spread), strict=True):
        slack = float(margin) + near[:, None] - far
        close = np.abs(slack) <= error * (margin + of_near[:, None] + of_far)
        less += int(np.count_nonzero(close & (slack > 0)))
        more += int(np.count_nonzero(close & (slack <= 0)))
        every += slack.size
    return less / max(every, 1), more / max(every, 1)
