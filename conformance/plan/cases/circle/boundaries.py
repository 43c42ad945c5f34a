"""Boundary cases of the circle loss: dyadic rows whose cosines are exact, and sets that are empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.circle.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases in which a row is zero, a weight is clipped exactly at 0, or a set is empty."""
    rng = generator(seed, clause)
    neutral = {"margin": 0.25, "gamma": 4.0, "detach_weights": True}
    for _ in range(12):
        options, rows, labels = _boundary(clause, rng)
        wanted = ["mean_nonzero"] if clause == "CI-8" else ["none", "sum", "mean"]
        reduction = offer.choices("reduction", wanted)[:1]
        structure = {**neutral, **options, "reduction": reduction[0] if reduction else wanted[0]}
        if any(not offer.choices(name, [structure[name]]) for name in CASES.options):
            continue
        order = rng.permutation(len(rows))
        inputs = {"embeddings": rows[order], "labels": labels[order]}
        for dtype in offer.exact_dtypes:
            units = (len(rows),) if structure["reduction"] == "none" else ()
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


def _boundary(clause: str, rng: np.random.Generator) -> tuple[dict[str, Any], Array, Array]:
    """Return options, rows and labels for one clause."""
    gamma = float(rng.choice([2.0, 4.0, 8.0]))
    if clause in ("CI-3", "CI-12"):  # one or two zero rows among rows on the axes
        rows = np.eye(3)[rng.integers(0, 3, size=5)] * rng.choice([-2.0, 1.0, 4.0], size=(5, 1))
        rows[: int(rng.integers(1, 3))] = 0.0
        return {"gamma": gamma, "detach_weights": bool(rng.random() < 0.5)}, rows, np.array([0, 1, 0, 1, 1])
    if clause in ("CI-4", "CI-11"):  # cosines of 1/2 and -1/2 where a weight becomes 0
        size = float(rng.choice([0.5, 1.0, 2.0]))
        negatives = bool(rng.random() < 0.5)
        flips = rng.choice([1.0, -1.0], size=4)
        anchor, near = np.ones(4) * flips, np.array([1.0, 1.0, 1.0, -1.0]) * flips  # cosine 1/2
        rows = np.array([anchor, -near if negatives else near, np.array([1.0, 1.0, -1.0, -1.0]) * flips]) * size
        labels = np.array([0, 1, 0]) if negatives else np.array([0, 0, 1])
        return {"gamma": gamma, "margin": 0.5 if negatives else -0.5, "detach_weights": False}, rows, labels
    if clause in ("CI-6", "CI-13"):  # one identity, all different, or one row
        count = int(rng.integers(1, 5))
        labels = np.full(count, 3) if rng.random() < 0.5 else np.arange(count)
        return (
            {"gamma": 256.0, "detach_weights": bool(rng.random() < 0.5)},
            rng.integers(-4, 5, (count, 3)) * 1.0,
            labels,
        )
    if clause == "CI-8":  # the terms of the first two anchors are positive, and smaller than float32 can tell from 0
        rows = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]) * rng.choice([0.5, 1.0, 4.0], size=(4, 1))
        return {"gamma": float(rng.choice([2048.0, 4096.0]))}, rows, np.array([5, 5, 0, 0])
    raise ValueError(f"no boundary case for {clause}")


BOUNDARIES = Boundaries(cases, value=("CI-3", "CI-4", "CI-6", "CI-8"), gradient=("CI-11", "CI-12", "CI-13"))
