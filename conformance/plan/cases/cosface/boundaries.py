"""Boundary cases of the CosFace loss: rows on the axes, whose cosines are exactly 0, 1 or -1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.class_weights import on_axes
from lossproof.conformance.plan.cases.cosface.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases of a zero row, of a row that is parallel to its class weight, or of one feature."""
    rng = generator(seed, clause)
    for _ in range(16):
        classes = int(rng.integers(2, 4))
        rows, weights = on_axes(rng, 2), on_axes(rng, classes)
        labels = rng.integers(0, classes, size=2)
        if clause in ("CF-4", "CF-8"):
            at = int(rng.integers(3))
            rows[0] *= at == 1
            weights[labels[1]] *= at == 0
        else:
            rows[0] = weights[labels[0]] * rng.choice([-2.0, 1.0, -0.5])
        reduction = offer.choices("reduction", ["sum", "none", "mean"])[:1]
        structure = {
            "scale": float(rng.choice([1.0, 4.0])),
            "margin": float(rng.choice([0.5, 0.0, 1.25])),
            "reduction": reduction[0] if reduction else "mean",
        }
        if clause == "CV-23":  # every cosine is 1 or -1
            rows, weights = rows.sum(1, keepdims=True), weights.sum(1, keepdims=True)
        if not offer.choices("reduction", [structure["reduction"]]):
            continue
        for dtype in offer.exact_dtypes:
            units = (2,) if structure["reduction"] == "none" else ()
            inputs = {"embeddings": rows, "labels": labels, "class_weights": weights}
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


BOUNDARIES = Boundaries(cases, value=("CF-4", "CV-23"), gradient=("CF-7", "CF-8"))  # CV-23: rows of one feature
