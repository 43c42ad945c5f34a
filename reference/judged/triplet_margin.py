"""Triplet margin loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.inputs import as_rows
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import judged
from lossproof.reference.judged.evaluation import Arrays, Evaluation, PairError, judge, reduced
from lossproof.reference.judged.soft_margin import moved, plus, turned
from lossproof.reference.triplet_margin import Triplets
from lossproof.reference.typing import Array


@judge.register
def _(found: Triplets, overrides: Overrides) -> Evaluation:
    decisions, soft = Decisions(overrides, found.takes_part), found.margin is None
    ap, an = judged(found.ap, "d(a, p)", decisions), judged(found.an, "d(a, n)", decisions)
    pn, swapped, pairs = an, found.swapped, [ap, an]
    if found.pn is not found.an:
        pn = judged(found.pn, "d(p, n)", decisions)
        swapped = decisions.take("swap", swapped, an.value - pn.value, an.scale + pn.scale, (False, True))
        pairs.append(pn)
    spread, active = ap.scale + np.where(swapped, pn.scale, an.scale), found.active
    if found.margin is None:  # TM-11
        scale, growth = 1 + spread, 1 + (1 - active) * spread
    else:
        scale, growth = found.margin + spread, np.ones_like(spread)
        active = decisions.take("hinge", active, found.slack, scale, (False, True))  # CV-13
    taken = replace(found, ap=ap, an=an, pn=pn, swapped=swapped, active=active)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        sizes = replace(taken, ap=ap.scales(), an=an.scales(sign=-1), pn=pn.scales(sign=-1))
        return sizes.gradients(np.abs(cotangent) * growth)

    def ends(tangents: Arrays) -> tuple[tuple[Array, Array], ...]:
        a, p, n = as_rows(**{name: tangents[name] for name in ("anchor", "positive", "negative")})
        return (a, p), (a, n), (p, n)

    @np.errstate(all="ignore")
    def hvp(cotangent: Array, tangents: Arrays) -> dict[str, Array]:
        v_ap, v_an, v_pn = ends(tangents)
        along = [ap.along(*v_ap), an.along(*v_an), pn.along(*v_pn)]
        if soft:  # sigma' = sigma (1 - sigma)
            bend = (1 - active) * (ap.slope(*v_ap) - np.where(swapped, pn.slope(*v_pn), an.slope(*v_an)))
            along = [plus(part, bend, pair) for part, pair in zip(along, (ap, an, pn), strict=True)]
        return replace(taken, ap=along[0], an=along[1], pn=along[2]).gradients(cotangent)

    @np.errstate(all="ignore")
    def hvp_scale(cotangent: Array, tangents: Arrays) -> dict[str, Array]:
        v_ap, v_an, v_pn = ends(tangents)
        sizes = [ap.along_scales(*v_ap), an.along_scales(*v_an, sign=-1), pn.along_scales(*v_pn, sign=-1)]
        if soft:
            bend = 4 * (ap.slope_scale(*v_ap) + np.where(swapped, pn.slope_scale(*v_pn), an.slope_scale(*v_an)))
            own = ap.scales(), an.scales(sign=-1), pn.scales(sign=-1)
            sizes = [plus(part, bend, scales) for part, scales in zip(sizes, own, strict=True)]
        return replace(taken, ap=sizes[0], an=sizes[1], pn=sizes[2]).gradients(np.abs(cotangent) * growth)

    def pair_errors(error: PairError, turn: PairError, cotangent: Array) -> tuple[Array, dict[str, Array]]:
        added = error(ap.value) + np.where(swapped, error(pn.value), error(an.value))
        step = moved(active, added)
        near, far, crossed = (turned(pair, turn, active, step, sign=s) for pair, s in ((ap, 1), (an, -1), (pn, -1)))
        turns = replace(taken, ap=near, an=far, pn=crossed, active=np.ones_like(active))
        return reduced(added, taken), turns.gradients(np.abs(cotangent))

    distances = () if soft else tuple(pair.value for pair in pairs)
    return Evaluation(
        taken.value(), reduced(scale, taken), taken.gradients, vjp_scale, decisions, distances, hvp, hvp_scale,
        pair_errors if soft else None,
    )  # fmt: skip
