"""Boundary cases of the center loss: distances exactly at a bound, and centers that no row meets."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.center.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases on a lattice of integers: what the clause is about is exact there."""
    rng = generator(seed, clause)
    neutral = {"factor": 0.5, "floor": 0.0, "ceiling": inf, "scale": 0, "reduction": "none"}
    for number in range(16):
        x, c = (rng.integers(-3, 4, size=(3, 2)).astype(float) for _ in range(2))
        y, options = np.array([0, 1, 1]), {}
        if clause == "CN-6":  # a center that no row is labelled with
            c[2] = rng.choice([np.nan, np.inf])
        else:  # the first row is at a bound, or beyond it
            x[0] = c[0] + rng.permutation([3.0, float(number % 2)])
            square = 9.0 + number % 2
            bound = square + (number % 3 == 2) * (1.0 if number % 4 < 2 else -1.0)
            options = {"floor": bound} if number % 4 < 2 else {"ceiling": bound}
        structure = {**neutral, **options}
        if any(not offer.choices(name, [structure[name]]) for name in CASES.options):
            continue
        inputs = {"embeddings": x, "labels": y, "centers": c}
        for dtype in offer.exact_dtypes:
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(3))


BOUNDARIES = Boundaries(cases, gradient=("CN-6", "CN-9"))
