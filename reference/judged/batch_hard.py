"""Batch-hard triplet loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.batch_hard import BatchHard, largest, triplets
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import judged
from lossproof.reference.judged.evaluation import Evaluation, judge, reduced
from lossproof.reference.judged.pairwise import undecided_pairs
from lossproof.reference.pairwise import all_pairs
from lossproof.reference.typing import Array


@judge.register
def _(found: BatchHard, overrides: Overrides) -> Evaluation:
    decisions, mined, margin = Decisions(overrides, found.takes_part), found.mined, found.margin
    every = undecided_pairs(all_pairs(mined.sets, mined.d)).scale
    hardest = _pick("hardest positive", mined.positive, every, decisions)
    nearest = _pick("hardest negative", mined.negative, every, decisions)
    found = triplets(mined, hardest, nearest, found.takes_part, margin, found.reduction, found.unit_weights)
    own = Decisions(overrides, ~found.itself & found.takes_part)  # the distance of an anchor to itself has no kink
    ap, active = judged(found.ap, "d(a, p)", own), found.active
    decisions.taken.extend(own.taken)
    an = judged(found.an, "d(a, n)", decisions)
    spread = ap.scale + an.scale
    if margin is None:
        scale, growth = 1 + spread, 1 + (1 - active) * spread
    else:
        scale, growth = margin + spread, np.ones_like(spread)
        active = decisions.take("hinge", active, found.slack, scale, (False, True))  # BH-9
    taken = replace(found, ap=ap, an=an, active=active)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        sizes = replace(taken, ap=ap.scales(), an=an.scales(sign=-1), itself=np.zeros_like(found.itself))
        return sizes.gradients(np.abs(cotangent) * growth)

    summed = reduced(scale, taken)
    return Evaluation(taken.value(), summed, taken.gradients, vjp_scale, decisions)


def _pick(name: str, eligible: Array, scale: Array, decisions: Decisions) -> Array:
    if not eligible.size:
        return largest(eligible)
    best = np.argmax(eligible, axis=-1)
    return decisions.pick_largest(name, eligible, np.take_along_axis(scale, best[:, None], axis=-1)[:, 0])
