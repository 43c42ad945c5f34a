"""Boundary cases of the joint loss: ties of its triplets, with equal logits and centers out of the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.joint.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases on a lattice of dyadic numbers where the decisions that the clause is about are exactly undecided."""
    rng = generator(seed, LOSS, clause)
    for _ in range(8):
        far, near = (float(size) for size in rng.choice([1, 2, 3, 4], size=2))
        if clause == "BH-8":  # two negatives at the same distance from the anchor at 0; the mean is over four anchors
            rows, labels = [0.0, far, near, -near], [0, 0, 1, 1]
        else:  # BH-9: the farther anchor of two is at the margin
            rows, labels = [0.0, 1.0, 1.0 + far + 8.0], [0, 0, 1]
        margin = 64.0 if clause == "BH-8" else 7.0 + far
        order = rng.permutation(len(rows))
        classes = 2
        inputs = {
            "logits": np.zeros((len(rows), classes)),
            "embeddings": np.array(rows)[order, None],
            "labels": np.array(labels)[order],
            "centers": np.zeros((classes, 1)),
        }
        chosen = {"triplet_weight": 1.0, "center_weight": 0.0, "triplet_margin": margin, "label_smoothing": 0.0}
        if any(not offer.has(name) for name in CASES.options):
            continue
        for dtype in offer.exact_dtypes:
            yield Case(LOSS, inputs, dtype, chosen, offer.modes[0], 1, np.ones(()))


BOUNDARIES = Boundaries(cases, gradient=("BH-8", "BH-9"))
