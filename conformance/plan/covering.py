"""Structures for a probe that varies many fields: as far as their number goes, every two choices meet in one.

A fault of two options together shows where both are set. Among structures that are drawn each by itself a certain pair
is often missing, and the simplest structure comes first and holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lossproof.conformance.plan.cases.structures import Structure

DRAWN = 30  # structures, of which the one with the most new pairs is taken
VARIANTS = 32  # sets of numbers that a structure may be filled with


IDLE = {"identities": ("one", "apart")}  # batches of which hardly a row has a term


def busy(choices: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the choices without those that leave nothing to look at, where there are others."""
    return {n: [v for v in values if v not in IDLE.get(n, ())] or values for n, values in choices.items()}


def covering(
    choices: Mapping[str, Sequence[Any]],
    normal: Callable[[Structure], Structure],
    wanted: int,
    rng: np.random.Generator,
) -> Iterator[Structure]:
    """Yield structures, each with as many pairs of choices as may be that none before it has."""
    met: set[tuple[Any, ...]] = set()
    for _ in range(wanted):
        drawn = [normal({n: v[int(rng.integers(len(v)))] for n, v in choices.items()}) for _ in range(DRAWN)]
        best = max(drawn, key=lambda structure: len(_pairs(structure, choices) - met))
        met |= _pairs(best, choices)
        yield best | {"variant": int(rng.integers(VARIANTS))}


def _pairs(structure: Structure, choices: Mapping[str, Sequence[Any]]) -> set[tuple[Any, ...]]:
    varied = [(name, repr(structure[name])) for name, values in choices.items() if len(values) > 1]
    return set(combinations(varied, 2))
