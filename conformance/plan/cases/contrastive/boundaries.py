"""Boundary cases of the contrastive loss: dyadic rows whose decisions are exactly undecided."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.contrastive.space import CASES, LOSS, ROWS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases on a lattice of dyadic numbers where the decisions that the clause is about are exactly undecided."""
    rng = generator(seed, clause)
    neutral = {"margin": 8.0, "factor": 0.5, "distance": "p_norm", "p": 1.0, "eps": 0.0, "eps_at": "difference"}
    halves = [] if offer.costly else offer.choices("dtype", HALVES)
    for turn in range(16):
        options, x, y, apart = _boundary(clause, rng)
        reduction = offer.choices("reduction", ["sum", "none", "mean"])[:1]
        structure = {**neutral, "scale": 0, **options, "reduction": reduction[0] if reduction else "mean"}
        if structure["eps"] == 0 and not offer.has("eps_at"):
            structure["eps_at"] = offer.neutral("eps_at")  # where nothing is added, it does not matter where
        if any(
            not offer.choices(name, [structure[name]]) for name in CASES.options if name not in ("margin", "factor")
        ):
            continue
        for dtype in (*offer.exact_dtypes, *halves[turn % 2 : turn % 2 + 1]):
            units = x.shape[:-1] if structure["reduction"] == "none" else ()
            inputs = {**dict(zip(ROWS, (x, y), strict=True)), "dissimilar": apart}
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


def _boundary(clause: str, rng: np.random.Generator) -> tuple[dict[str, Any], Any, Any, Any]:
    """Return options and one pair of rows for one clause about a kink or a tie."""
    width, apart = int(rng.integers(1, 4)), rng.random(1) < 0.5
    x = rng.integers(-4, 5, size=(1, width)).astype(float)
    step = rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], size=(1, width))
    y = x + step
    if clause == "CV-13":  # d = margin
        return {"margin": float(np.abs(step).sum())}, x, y, np.array([True])
    if clause in ("CO-6", "CO-8", "DI-15"):  # coincident rows
        p = float(rng.choice([2.0, 1.0, 3.0] if clause != "DI-15" else [2.0, 1.5, 2.5, 3.0, inf]))
        return {"p": p}, x, x.copy(), apart if clause != "CO-6" else np.array([True])
    if clause == "DI-14":  # a coordinate of the difference is 0
        y[0, 0] = x[0, 0]
        return {"margin": 16.0}, x, y, apart
    if clause == "DI-16":  # two coordinates share the largest size
        x, y = np.zeros((1, 3)), rng.integers(-3, 4, size=(1, 3)).astype(float)
        y[0, rng.permutation(3)[:2]] = rng.choice([-5.0, 5.0], size=2)
        return {"p": inf}, x, y, apart
    if clause == "DI-17":  # sum |x - y|^p = eps, or below it
        y = x.copy()
        y[0, 0] -= float(rng.choice([1.0, 2.0, 4.0]))
        power = float(rng.choice([1.0, 2.0]))
        return {"p": power, "eps": 4.0**power, "eps_at": "floor"}, x, y, apart
    if clause in ("DI-10", "DI-18"):  # a zero row; the other on an axis
        axis = np.zeros((1, width))
        axis[0, 0] = 2.0
        x, y = [(axis, 0 * axis), (0 * axis, axis), (0 * axis, 0 * axis)][int(rng.integers(3))]
        return {"distance": "cosine", "margin": 4.0}, x, y, apart
    raise ValueError(f"no boundary case for {clause}")


BOUNDARIES = Boundaries(
    cases, value=("CO-6", "DI-10"), gradient=("CV-13", "CO-8", "DI-14", "DI-15", "DI-16", "DI-17", "DI-18")
)
