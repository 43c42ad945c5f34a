"""Semi-hard triplet loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import Parts, judged
from lossproof.reference.judged.evaluation import Evaluation, PairError, judge, reduced
from lossproof.reference.judged.pairwise import reach, undecided_pairs
from lossproof.reference.judged.soft_margin import moved, turned
from lossproof.reference.semi_hard import SemiHard, preferred, triplets
from lossproof.reference.typing import Array


@judge.register
def _(found: SemiHard, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, found.takes_part)
    spread = reach(undecided_pairs(found.ap), found.batch)
    chosen = _choose(found, spread, decisions)
    pairs = found.positive, found.negative, chosen
    found = triplets(found.batch, found.ap, found.margin, *pairs, found.reduction, found.unit_weights)
    ap, an = judged(found.ap, "d(a, p)", decisions), judged(found.an, "d(a, n)", decisions)
    active, of_distances = found.active, ap.scale + an.scale
    if found.margin is None:  # SH-12
        scale, growth = 1 + of_distances, 1 + (1 - active) * of_distances
    else:
        scale, growth = found.margin + ap.scale + an.scale, np.ones_like(of_distances)
        undecided = found.margin + spread + np.take_along_axis(spread, chosen, axis=-1)
        active = decisions.take("hinge", active, found.slack, undecided, (False, True))  # CV-13
    taken = replace(found, ap=ap, an=an, active=active)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return replace(taken, ap=ap.scales(), an=an.scales(sign=-1)).gradients(np.abs(cotangent) * growth)

    def pair_errors(error: PairError, turn: PairError, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        added = error(ap.value) + error(an.value)
        if found.margin is None:
            step, whole = moved(active, added), np.ones_like(active)
            near_and_far = turned(ap, turn, active, step), turned(an, turn, active, step, sign=-1)
            turns = replace(taken, ap=near_and_far[0], an=near_and_far[1], active=whole)
            return reduced(added, taken), turns.gradients(np.abs(cotangent))
        near, far = (np.broadcast_to(turn(pair.value)[..., None], pair.gradients[0].shape) for pair in (ap, an))
        turns = replace(taken, ap=Parts(ap.value, (near, near)), an=Parts(an.value, (-far, -far)))
        return reduced(added, taken), turns.gradients(np.abs(cotangent))

    return Evaluation(
        taken.value(), reduced(scale, taken), taken.gradients, vjp_scale, decisions, pair_errors=pair_errors
    )


def _choose(found: SemiHard, spread: Array, decisions: Decisions) -> Array:
    """Return the index of the negative of each pair (a, p)."""
    d, negative = found.ap.value, found.negative
    if not d.size:
        return found.chosen
    ap, an = d[:, :, None], d[:, None, :]
    slack = np.where(negative[:, None, :], an - ap, np.inf)
    scale = spread[:, :, None] + spread[:, None, :]
    farther = decisions.take("d(a, n) > d(a, p)", an > ap, slack, scale, (False, True)) & negative[:, None, :]
    values = preferred(d, farther, negative)
    best = np.argmax(values, axis=-1)
    return decisions.pick_largest("negative", values, np.take_along_axis(spread, best, axis=-1))
