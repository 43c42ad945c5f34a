"""Boundary cases of the semi-hard triplet loss: dyadic rows whose decisions are exactly undecided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import pairs
from lossproof.conformance.plan.cases.semi_hard.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases on a lattice of dyadic numbers where the decisions that the clause is about are exactly undecided."""
    rng = generator(seed, LOSS, clause)
    neutral = {"margin": 256.0, "soft_margin": False, "distance": "squared_euclidean", "scale": 0}
    for number in range(12):
        options, inputs = _boundary(clause, rng)
        wanted = ["sum", "none", "mean"]
        chosen = [*offer.choices("reduction", wanted), "mean"][0]
        pairwise = offer.choices("pairwise", ["gram", "direct"]) or ["gram"]
        structure = {**neutral, **options, "pairwise": pairwise[number % len(pairwise)], "reduction": chosen}
        if any(not offer.choices(name, [structure[name]]) for name in CASES.options if name != "margin"):
            continue
        for dtype in offer.exact_dtypes:
            units = inputs["labels"].shape * 2 if chosen == "none" else ()
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


def _boundary(clause: str, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return options and one batch for one clause about a kink or a tie."""
    far, near = (float(size) for size in rng.choice([1, 2, 3, 4], size=2))
    if clause == "SH-2":  # a negative as far as the positive, and one beyond
        rows = [[0.0], [far], [-far], [-far - near]]
        return {}, pairs.shuffled(rng, rows, [0, 0, 1, 2])
    if clause == "SH-3":  # no negative is farther than the positive
        rows = [[0.0], [12.0], [far], [4.0 + near]]
        return {}, pairs.shuffled(rng, rows, [0, 0, 1, 2])
    if clause == "SH-8":  # two negatives at the same distance, farther than the positive, or not
        size = far + float(rng.choice([0.0, 8.0]))
        rows = [[0.0], [4.5], [size], [-size]]
        return {}, pairs.shuffled(rng, rows, [0, 0, 1, int(rng.choice([1, 2]))])
    if clause == "SH-9":  # margin + d(a, p) = d(a, n), for one pair of two
        rows = [[0.0], [far], [-far - near]]
        return {"margin": (far + near) ** 2 - far**2}, pairs.shuffled(rng, rows, [0, 0, 1])
    if clause == "DI-15":  # a positive coincides with its anchor
        return {"distance": "euclidean"}, pairs.shuffled(rng, [[1.0, 2.0], [1.0, 2.0], [5.0, 2.0]], [0, 0, 1])
    if clause in ("DI-10", "DI-18"):  # a zero row; the others on the axes
        rows = [[2.0, 0.0], [0.0, 0.0], [0.0, 4.0]]
        return {"distance": "cosine", "margin": 4.0}, pairs.shuffled(rng, rows, [0, 0, 1])
    raise ValueError(f"no boundary case for {clause}")


BOUNDARIES = Boundaries(cases, value=("SH-2", "SH-3", "DI-10"), gradient=("SH-8", "SH-9", "DI-15", "DI-18"))
