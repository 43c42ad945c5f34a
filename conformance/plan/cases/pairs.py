"""What the cases of the mined triplet losses share: distances of the pairs of a batch, and what they blame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.blame import PRECISION, Blames
from lossproof.conformance.plan.cases import batches, distances
from lossproof.conformance.plan.cases.candidates import BOTH, CANDIDATES, INDEXED
from lossproof.conformance.plan.cases.structures import Structure, held
from lossproof.conformance.plan.probe import OWN, OfAgreement, OfErrors, Probe

DISTANCES = ("euclidean", "squared_euclidean", "cosine")
SECOND_SET = (
    Blames("candidates", "PW-10", "PW-11", among=(INDEXED, BOTH)),
    Blames("candidates", "PW-9", "PW-11"),
)
BLAMES = (
    *distances.DISTANCE,
    Blames("pairwise", "PW-6", "PW-7"),
    Blames("floor", "PW-3", "PW-4"),
    Blames("scale", "CV-15", "CV-16"),
    PRECISION,
)
SMALLER_SHAPES = ((2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (5, 2))
EVERY_SHAPE = ((7, 2), (8, 3), (12, 5), (5, 4))
TIGHT = "as many as there are"  # of `max_positives`: no anchor has more, and one has as many


def space(*, first: str, margins: tuple[float, ...], **options: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the fields of a loss with their choices, its default distance first."""
    ordered = (first, *(name for name in DISTANCES if name != first))
    return {**batches.SPACE, "distance": ordered, "margin": margins, **options, "candidates": CANDIDATES}


def basic(space: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Return the fields that most probes vary."""
    few = {"shape": space["shape"][:3], "dtype": space["dtype"], "margin": space["margin"][:2]}
    return {**few, "identities": ("few", "many rows")}


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    return {"embeddings": batches.embeddings(structure, rng), "labels": batches.labels(structure, rng)}


def fitted(parameters: dict[str, Any], inputs: Mapping[str, Array]) -> dict[str, Any]:
    """Return the options with the number that `TIGHT` stands for."""
    if parameters.get("max_positives") != TIGHT:
        return parameters
    return parameters | {"max_positives": max(1, _most_positives(inputs))}


def _most_positives(inputs: Mapping[str, Array]) -> int:
    """Return the largest number of positives of an anchor."""
    labels, every = inputs["labels"], np.array(True)
    mask, itself = inputs.get("mask", every), np.arange(len(labels))
    if "candidates" in inputs:
        itself = inputs.get("candidate_index", np.full(len(labels), -1))
    names = inputs.get("candidate_labels", labels)
    positive = (labels[:, None] == names) & (itself[:, None] != np.arange(len(names)))
    positive &= inputs.get("candidate_mask", every if "candidates" in inputs else mask)
    return int(np.max(positive.sum(axis=1), where=mask, initial=0))


def grown(structure: Structure) -> Structure:
    """Return the structure with a margin and a floor in units of the rows."""
    floor = {"floor": structure["floor"] * 4.0 ** structure["scale"]} if "floor" in structure else {}
    return {**distances.grown(structure), **floor}


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that do not apply, or that contradict, at their neutral values."""
    s = held(structure, offer)
    if s["distance"] == "cosine":
        s.update(offset=0.0)
        s["scale"] = min(26, max(-26, s["scale"])) if s["dtype"] == "float32" else s["scale"]  # products of two squares
        if "floor" in s:
            s["floor"] = 0.0
    return distances.of_soft_margin(s, offer)


def lattice(rng: np.random.Generator, *shape: int) -> Array:
    """Return small integers."""
    return rng.integers(-4, 5, size=shape).astype(float)


def shuffled(rng: np.random.Generator, rows: Any, labels: Any) -> dict[str, Array]:
    """Return rows and labels in another order, with other names of the labels."""
    order = rng.permutation(len(rows))
    names = rng.permutation(100)[: max(labels) + 1]
    return {"embeddings": np.asarray(rows, float)[order], "labels": names[np.asarray(labels)][order]}


def mined(loss: str, basic: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Probe]:
    """Yield the probes of `pairwise` and `max_positives`."""
    collapsed = {**basic, "offset": (100.0,), "scale": (-10, -7), "distance": DISTANCES[:2], "shape": ((7, 2), (8, 3))}
    own = OWN
    for clause, check in (("PW-6", "precision"), ("PW-7", "gradient")):
        vary = {**collapsed, "pairwise": known["pairwise"]}
        yield Probe(loss, check, clause, vary=vary, options=own)
        yield Probe(loss, check, clause, "near the origin", vary={**vary, "offset": (0.0,), "scale": (0,)}, options=own)
    roomy = OfAgreement(own_clause=True, structure={"max_positives": 1000})
    yield Probe(loss, "value", "PW-8", "more than the rows", vary=basic, options=roomy, effort=0.34)
    beside = ("reduction", "distance", "pairwise", "soft_margin", "candidates")
    yield from _bounded(loss, {**basic, **{name: known[name] for name in beside if name in known}})
    rows = {"embeddings": [[0.0], [1.0], [2.0], [3.0]], "labels": [0, 0, 0, 1]}  # a negative, or there is no term
    one = OfErrors(inputs=rows, parameters={"max_positives": 1}, or_nan=True)
    yield Probe(loss, "errors", "PW-8", "more positives", options=one)


def _bounded(loss: str, fields: dict[str, Any]) -> Iterator[Probe]:
    """Yield PW-8 beside everything that changes which positives there are, or what they weigh."""
    tight, some = {"max_positives": TIGHT}, {"mask": (None, "some"), "weights": (None, "some", "some are 0")}
    for check in ("value", "gradient"):
        part = OfAgreement(own_clause=True, part=check, structure=tight)
        yield Probe(loss, check, "PW-8", TIGHT, vary=fields | some, options=part)
    traced = {**fields, **some, "shape": ((5, 4), (7, 2)), "candidates": (None,)}
    for mode in ("functional", "stacked", "traced"):  # where the labels of a call, or of each of several, are unknown
        vary, enough = traced | {"mode": (mode,)}, OfAgreement(structure={"max_positives": 6})
        yield Probe(loss, "compiled", "CV-22", f"{mode}, max_positives", vary=vary, options=enough, effort=0.17)
