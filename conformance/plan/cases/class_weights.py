"""What the cases of losses with class weights share, ArcFace and CosFace: their rows, and what a clause leaves open."""

from __future__ import annotations

import numpy as np

from lossproof.conformance.host.arrays import HALVES, Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.structures import Structure, open_rows


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with rows that a half format holds."""
    within = {"size": max(-4, min(4, structure["size"]))} if structure["dtype"] in HALVES else {}
    return {**structure, **within}


def sized(
    structure: Structure, rows: Array, labels: Array, weights: Array, rng: np.random.Generator
) -> dict[str, Array]:
    """Return the inputs, with rows of several lengths: times 2**size, and the class weights times 2**-size."""
    unit = 2.0 ** structure["size"]
    rows = unit * rows * rng.choice([0.5, 1.0, 2.0], size=(len(rows), 1))
    return {
        "embeddings": rounded(rows, structure["dtype"]),
        "labels": labels,
        "class_weights": rounded(weights / unit, structure["dtype"]),
    }


def unspecified(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open: the rows that hold NaN or infinity, and every class weight."""
    weights = case.inputs["class_weights"]
    return {**open_rows(case), "class_weights": np.ones(len(weights), bool)}


def on_axes(rng: np.random.Generator, count: int) -> Array:
    """Return rows on different axes: each entry of a gradient then has one summand, and is 0 exactly or not at all."""
    rows = np.zeros((count, 3))
    rows[np.arange(count), rng.permutation(3)[:count]] = rng.choice([-4.0, -1.0, 0.5, 2.0], size=count)
    return rows
