"""Boundary cases of the ArcFace loss: rows on the axes, whose angles are exactly 0, a right angle or pi."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.arcface.space import CASES, LOSS
from lossproof.conformance.plan.cases.class_weights import on_axes
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases whose decisions, those that the clause is about, are exactly undecided."""
    rng = generator(seed, clause)
    for _ in range(16):
        classes = int(rng.integers(2, 4))
        rows, weights = on_axes(rng, 2), on_axes(rng, classes)
        labels = rng.integers(0, classes, size=2)
        margin = float(rng.choice([0.5, 1.25, 3.0]))
        if clause in ("AF-9", "AF-14"):
            at = int(rng.integers(3))
            rows[0] *= at == 1
            weights[labels[1]] *= at == 0
        else:  # the first row and its class weight are parallel
            margin = margin if clause == "AF-13" else float(rng.choice([0.0, 0.5]))
            rows[0] = weights[labels[0]] * rng.choice([-2.0, 1.0, -0.5])
        reduction = offer.choices("reduction", ["sum", "none", "mean"])[:1]
        structure = {
            "scale": float(rng.choice([1.0, 4.0])),
            "margin": margin,
            "beyond_pi": str(rng.choice(["keep", "linear", "continuous"])),
            "reduction": reduction[0] if reduction else "mean",
        }
        if clause == "CV-23":  # every angle is 0 or pi
            rows, weights, structure["beyond_pi"] = rows.sum(1, keepdims=True), weights.sum(1, keepdims=True), "keep"
        if any(not offer.choices(name, [structure[name]]) for name in CASES.options if name not in ("scale", "margin")):
            continue
        for dtype in offer.exact_dtypes:
            units = (2,) if structure["reduction"] == "none" else ()
            inputs = {"embeddings": rows, "labels": labels, "class_weights": weights}
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


BOUNDARIES = Boundaries(
    cases, value=("AF-8", "AF-9", "CV-23"), gradient=("AF-13", "AF-14")
)  # CV-23: rows of one feature
