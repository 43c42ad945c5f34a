"""Boundary cases of the triplet margin loss: dyadic rows whose decisions are exactly undecided."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.cases.triplet_margin.space import CASES, LOSS, ROWS
from lossproof.conformance.plan.contract import Boundaries


def cases(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield cases on a lattice of dyadic numbers where the decisions that the clause is about are exactly undecided."""
    rng = generator(seed, clause)
    halves = [] if offer.costly else offer.choices("dtype", HALVES)
    for turn in range(24):
        options, rows = _boundary(clause, rng)
        shape = np.shape(rows[0])
        reduction = offer.choices("reduction", ["sum", "none", "mean"])[:1]
        if clause == "TM-10":
            reduction = offer.choices("reduction", ["mean_nonzero", "none", "sum"])[:1]
        structure = {
            "margin": 1.0,
            "soft_margin": False,
            "distance": "p_norm",
            "p": 1.0,
            "eps": 0.0,
            "eps_at": "difference",
            "swap": False,
            "scale": 0,
            "mask": None,
        }
        structure |= options | {"reduction": reduction[0] if reduction else "mean"}
        if structure["eps"] == 0 and not offer.has("eps_at"):
            structure["eps_at"] = offer.neutral("eps_at")  # where nothing is added, it does not matter where
        if any(
            not offer.choices(name, [structure[name]])
            for name in CASES.options
            if name in structure and name != "margin"
        ):
            continue
        for dtype in (*offer.exact_dtypes, *halves[turn % 2 : turn % 2 + 1]):
            units = shape[:-1] if structure["reduction"] == "none" else ()
            inputs = dict(zip(ROWS, map(np.asarray, rows), strict=True))
            yield Case(LOSS, inputs, dtype, CASES.parameters(structure, offer), offer.modes[0], 1, np.ones(units))


def _lattice(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-4, 5, size=shape).astype(float)


def _boundary(clause: str, rng: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    """Return options and rows (1 or 2 of them, 1 to 3 features) for one clause about a kink or a tie."""
    width = int(rng.integers(1, 4))
    a, p, n = (_lattice(rng, (1, width)) for _ in range(3))
    big = {"margin": 64.0}
    if clause in ("CV-13", "TM-10"):  # margin + d(a, p) = d(a, n)
        n = a + np.abs(n - a) + 1.0
        p = a + rng.permuted(np.abs(n - a), axis=-1) * rng.choice([0.5, 0.25])
        gap = float(np.sum(np.abs(a - n)) - np.sum(np.abs(a - p)))
        rows = [a, p, n]
        if clause == "TM-10":  # and a second row that is not at the margin
            rows = [np.vstack([a, a]), np.vstack([p, n + 1.0]), np.vstack([n, a + 0.5])]
        return {"margin": gap, "p": 1.0}, rows
    if clause == "TM-6":  # d(p, n) = d(a, n)
        n = a + rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], size=(1, width))  # no coordinate is a kink besides
        p = 2 * n - a
        return {"swap": True, "p": float(rng.choice([1.0, inf])) if width == 1 else 1.0, **big}, [a, p, n]
    if clause == "DI-14":  # a coordinate of a - p is 0
        p[0, 0] = a[0, 0]
        n[:] = a + 1.0
        return {"p": 1.0, **big}, [a, p, n]
    if clause == "DI-15":  # a = p
        n[:] = a
        n[0, 0] += 2.0
        return {"p": float(rng.choice([2.0, 1.5, 2.5, 3.0, inf])), **big}, [a, a.copy(), n]
    if clause == "DI-16":  # two coordinates share the largest size
        a, p, n = np.zeros((1, 3)), _lattice(rng, (1, 3)), np.zeros((1, 3))
        p[0, rng.permutation(3)[:2]] = rng.choice([-5.0, 5.0], size=2)
        n[0, 0] = 1.0
        return {"p": inf, **big}, [a, p, n]
    if clause == "DI-17":  # sum |a - p|^p = eps, or below it
        p, n = a.copy(), a.copy()
        p[0, 0] += 4.0
        n[0, 0] -= float(rng.choice([1.0, 2.0, 4.0]))
        power = float(rng.choice([1.0, 2.0]))
        return {"p": power, "eps": 4.0**power, "eps_at": "floor", **big}, [a, p, n]
    if clause in ("DI-10", "DI-18"):  # a zero row; the others on an axis
        row = np.zeros((1, width))
        axis = np.zeros((1, width))
        axis[0, 0] = 2.0
        rows = [[row, axis, axis], [axis, row, 2 * axis], [axis, axis, row], [row, row, axis]][int(rng.integers(4))]
        return {"distance": "cosine", "margin": 4.0}, [r.copy() for r in rows]
    raise ValueError(f"no boundary case for {clause}")


BOUNDARIES = Boundaries(
    cases, value=("TM-10", "DI-10"), gradient=("CV-13", "TM-6", "DI-14", "DI-15", "DI-16", "DI-17", "DI-18")
)
