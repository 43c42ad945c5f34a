"""Boundary cases of the OIM loss: logits so large that one of them alone counts, and rows that are no terms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.oim.space import CASES, LOSS
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases in which every number is an integer or a dyadic one, exact in any order."""
    rng = generator(seed, clause)
    for number in range(8):
        reductions = offer.choices(
            "reduction", ["mean", "none", "sum"] if clause == "OI-3" else ["none", "sum", "mean"]
        )
        stranger = offer.choices("unlabelled", [-1, 99]) or [offer.neutral("unlabelled")]
        structure = {"temperature": 0.25, "unlabelled": stranger[0], "reduction": (reductions or ["mean"])[0]}
        if not offer.choices("temperature", [0.25]):
            continue
        axis = np.zeros((2, 3))
        axis[:, int(rng.integers(3))] = float(rng.choice([32.0, 64.0])) * np.array([1.0, -1.0])
        table = np.concatenate([axis, 0 * axis])[rng.permutation(4)]
        x, y = axis[[0, 1]], rng.integers(0, 4, size=2)
        if clause == "OI-3":  # no row has an identity, and one holds NaN
            x, y = np.where([[False], [number % 2 == 1]], np.nan, x), np.full(2, stranger[0])
        elif number % 2:
            table, y = table[:3], y % 3
        inputs = {"embeddings": x, "labels": y, "lookup_table": table, "queue": np.zeros((1, 3))}
        units = (2,) if structure["reduction"] == "none" else ()
        for dtype in offer.exact_dtypes:
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


BOUNDARIES = Boundaries(cases, gradient=("OI-3", "OI-5"))
