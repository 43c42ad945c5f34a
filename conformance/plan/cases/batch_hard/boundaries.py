"""Boundary cases of the batch-hard triplet loss: dyadic rows whose decisions are exactly undecided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import pairs
from lossproof.conformance.plan.cases.batch_hard.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases on a lattice of dyadic numbers where the decisions that the clause is about are exactly undecided."""
    rng = generator(seed, LOSS, clause)
    neutral = {"margin": 64.0, "soft_margin": False, "distance": "squared_euclidean", "floor": 0.0}
    for _ in range(12):
        options, inputs = _boundary(clause, rng)
        chosen = [*offer.choices("reduction", ["sum", "none", "mean"]), "mean"][0]
        structure = {**neutral, "include_self": False, "scale": 0, **options, "reduction": chosen}
        if any(not offer.choices(name, [structure[name]]) for name in CASES.options if name != "margin"):
            continue
        for dtype in offer.exact_dtypes:
            units = inputs["labels"].shape if chosen == "none" else ()
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


def _boundary(clause: str, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return options and one batch for one clause about a kink or a tie."""
    far, near = (float(size) for size in rng.choice([1, 2, 3, 4], size=2))
    if clause == "BH-8":  # two positives and two negatives at the same distance
        rows = [[0.0], [far], [-far], [near], [-near]]
        return {}, pairs.shuffled(rng, rows, [0, 0, 0, 1, int(rng.choice([1, 2]))])
    if clause == "BH-9":  # margin + d(a, p) = d(a, n), for one anchor of two
        rows = [[0.0], [far], [-far - near]]
        return {"margin": (far + near) ** 2 - far**2}, pairs.shuffled(rng, rows, [0, 0, 1])
    if clause == "BH-10":  # every anchor is its own hardest positive
        rows = [[0.0, far], [near, 0.0], [-3.0, -3.0]]
        return {"include_self": True}, pairs.shuffled(rng, rows, [0, 1, 2])
    if clause == "BH-3":  # a zero row is at distance 1 from itself, the others at 0
        rows = [[2.0, 0.0], [0.0, 0.0], [0.0, 4.0]]
        return {"include_self": True, "distance": "cosine", "margin": 4.0}, pairs.shuffled(rng, rows, [0, 1, 2])
    if clause == "BH-2":  # anchors without a positive, without a negative
        rows = pairs.lattice(rng, 4, 2) + 16.0 * np.arange(4)[:, None] ** 2
        return {"margin": 2.0**14}, pairs.shuffled(
            rng, rows, [[0, 0, 1, 2], [0, 1, 2, 3], [0, 0, 0, 0]][rng.integers(3)]
        )
    if clause == "PW-4":  # d^2 is the floor, or below it
        rows = [[0.0], [float(rng.choice([1.0, 2.0]))], [8.0]]
        return {"floor": 4.0}, pairs.shuffled(rng, rows, [0, 0, 1])
    if clause == "DI-15":  # a positive coincides with its anchor
        return {"distance": "euclidean"}, pairs.shuffled(rng, [[1.0, 2.0], [1.0, 2.0], [5.0, 2.0]], [0, 0, 1])
    if clause in ("DI-10", "DI-18"):  # a zero row; the others on the axes
        rows = [[2.0, 0.0], [0.0, 0.0], [0.0, 4.0]]
        return {"distance": "cosine", "margin": 4.0}, pairs.shuffled(rng, rows, [0, 0, 1])
    raise ValueError(f"no boundary case for {clause}")


BOUNDARIES = Boundaries(
    cases, value=("BH-2", "BH-3", "DI-10"), gradient=("BH-8", "BH-9", "BH-10", "PW-4", "DI-15", "DI-18")
)
