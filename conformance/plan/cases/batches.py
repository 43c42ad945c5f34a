"""What the cases of the losses of a batch share: rows (B, D) with labels, and the conventions they blame.

A loss of a batch has a shape (B, D), one label a row, and no meaning for a stack of calls; its page has
`unit = "anchor"` or "row". `identities` says how the labels fall: about three rows each, one identity, all different,
or two identities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.structures import COTANGENTS, Structure

SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((7, 2), (5, 4), (8, 3), (12, 5), (1, 3)),
    "dtype": ("float64", "float32"),
    "identities": ("few", "one", "apart", "many rows"),
    "mask": (None, "some"),
    "reduction": ("none", "sum", "mean", "mean_nonzero"),
    "scale": (0,),  # rows times 2**scale
    "offset": (0.0,),
    "mode": (),  # the implementation's first
    "order": (1,),
}
SMALLER_SHAPES = ((1, 1), (2, 1), (3, 1), (3, 2), (4, 2), (5, 2))


def embeddings(structure: Structure, rng: np.random.Generator) -> Array:
    """Return rows of a few sizes around the offset, which the dtype of the structure holds."""
    shape, unit = structure["shape"], 2.0 ** structure["scale"]
    size = unit * rng.choice([0.25, 0.5, 1.0], size=(shape[0], 1))
    return rounded(structure["offset"] + size * rng.standard_normal(shape), structure["dtype"])


def labels(structure: Structure, rng: np.random.Generator, classes: int | None = None) -> Array:
    """Return labels of the rows, below `classes` where they index a table."""
    count = structure["shape"][0]
    if structure["identities"] == "one":
        return np.full(count, 0 if classes == 1 else 1, np.int64)
    if structure["identities"] == "apart":
        return np.asarray(rng.permutation(count) % (classes or count or 1))
    few = max(2, count // 3) if structure["identities"] == "few" else 2
    return np.asarray(rng.integers(0, min(few, classes or few), size=count))


def mask(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Return the mask of the structure as an input, if it has one."""
    count = structure["shape"][0]
    if structure["mask"] is None:
        return {}
    chosen = rng.random(count) < 0.6 if structure["mask"] == "some" else np.zeros(count, bool)
    if structure["mask"] == "some" and count:
        chosen[rng.integers(count)] = True
    return {"mask": chosen}


def cotangent(structure: Structure, rng: np.random.Generator, units: tuple[int, ...] | None = None) -> Array:
    """Return numbers to weigh the terms, or the loss, with."""
    reduced = structure.get("reduction", "mean") != "none" or structure.get("defaults")
    shape = () if reduced else structure["shape"][:1] if units is None else units
    return np.asarray(rng.choice(COTANGENTS, size=shape))


def given(structure: Structure, offer: Offer, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of the call: those that the function has."""
    if structure.get("defaults"):
        return {}
    return {name: structure[name] for name in options if offer.has(name)}


def judged(structure: Structure, offer: Offer, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return {n: v for n, v in offer.fixed.items() if not offer.has(n)} | given(structure, offer, options)


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause of the conventions that a failure speaks of, if the fields name one."""
    return distances.conventions(kind, needed, half=half)


def legal_mode(offer: Offer) -> str:
    """Return the mode of plain calls."""
    return str(offer.modes[-1] if "eager" not in offer.modes else "eager")


def legal(loss: str, offer: Offer, **more: Array) -> Case:
    """Return a plain legal call of three rows of two identities, the sibling of every wrong one."""
    rows = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])
    inputs = {"embeddings": rows, "labels": np.array([0, 1, 0]), **more}
    return Case(loss, inputs, offer.choices("dtype", ["float32", "float64"])[0], {}, legal_mode(offer), 0)
