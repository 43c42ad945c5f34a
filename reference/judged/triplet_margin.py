"""Triplet margin loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.reference.inputs import as_rows
from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.judged.distances import judged
from lossproof.reference.judged.evaluation import Arrays, Evaluation, judge, reduced
from lossproof.reference.triplet_margin import Triplets
from lossproof.reference.typing import Array


@judge.register
def _(found: Triplets, overrides: Overrides) -> Evaluation:
    decisions = Decisions(overrides, found.takes_part)
    ap, an = judged(found.ap, "d(a, p)", decisions), judged(found.an, "d(a, n)", decisions)
    pn, swapped, pairs = an, found.swapped, [ap, an]
    if found.pn is not found.an:
        pn = judged(found.pn, "d(p, n)", decisions)
        swapped = decisions.take("swap", swapped, an.value - pn.value, an.scale + pn.scale, (False, True))
        pairs.append(pn)
    scale = found.margin + (ap.scale + np.where(swapped, pn.scale, an.scale))
    active = decisions.take("hinge", found.active, found.slack, scale, (False, True))  # CV-13
    taken = replace(found, ap=ap, an=an, pn=pn, swapped=swapped, active=active)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        sizes = replace(taken, ap=ap.scales(), an=an.scales(sign=-1), pn=pn.scales(sign=-1))
        return sizes.gradients(np.abs(cotangent))

    def ends(tangents: Arrays) -> tuple[tuple[Array, Array], ...]:
        a, p, n = as_rows(**{name: tangents[name] for name in ("anchor", "positive", "negative")})
        return (a, p), (a, n), (p, n)

    @np.errstate(all="ignore")
    def hvp(cotangent: Array, tangents: Arrays) -> dict[str, Array]:
        v_ap, v_an, v_pn = ends(tangents)
        return replace(taken, ap=ap.along(*v_ap), an=an.along(*v_an), pn=pn.along(*v_pn)).gradients(cotangent)

    @np.errstate(all="ignore")
    def hvp_scale(cotangent: Array, tangents: Arrays) -> dict[str, Array]:
        v_ap, v_an, v_pn = ends(tangents)
        near, far, crossed = ap.along_scales(*v_ap), an.along_scales(*v_an, sign=-1), pn.along_scales(*v_pn, sign=-1)
        return replace(taken, ap=near, an=far, pn=crossed).gradients(np.abs(cotangent))

    distances = tuple(pair.value for pair in pairs)
    return Evaluation(
        taken.value(), reduced(scale, taken), taken.gradients, vjp_scale, decisions, distances, hvp, hvp_scale
    )
