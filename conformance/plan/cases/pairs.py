"""What the cases of the mined triplet losses share: distances of the pairs of a batch, and the clauses they blame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches, distances
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OWN, OfAgreement, OfErrors, Probe

DISTANCES = ("euclidean", "squared_euclidean", "cosine")
SMALLER_SHAPES = ((2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (5, 2))
EVERY_SHAPE = ((7, 2), (8, 3), (12, 5), (5, 4))


def space(*, first: str, margins: tuple[float, ...], **options: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the fields of a loss with their choices, its default distance first."""
    ordered = (first, *(name for name in DISTANCES if name != first))
    return {**batches.SPACE, "distance": ordered, "margin": margins, **options}


def build(loss: str, structure: Structure, options: dict[str, Any], seed: int, fill: int, *, pairs: bool) -> Case:
    """Fill a structure with numbers; `pairs` says that the terms have the shape (B, B)."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    rows = batches.embeddings(structure, rng)
    inputs = {"embeddings": rows, "labels": batches.labels(structure, rng), **batches.mask(structure, rng)}
    units = rows.shape[:1] * (2 if pairs else 1)
    seeds = batches.cotangent(structure, rng, units)
    return Case(loss, inputs, structure["dtype"], options, structure["mode"], min(structure["order"], 1), seeds)


def parameters(structure: Structure, offer: Offer, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of the call; the margin and the floor grow with the rows."""
    power = {"squared_euclidean": 2, "cosine": 0}.get(structure["distance"], 1)
    grown = {**structure, "margin": structure["margin"] * 2.0 ** (structure["scale"] * power)}
    if "floor" in structure:
        grown["floor"] = structure["floor"] * 4.0 ** structure["scale"]
    return batches.given(grown, offer, (*options, *(n for n in ("max_positives",) if n in structure)))


def fixed(structure: Structure, offer: Offer, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return {n: v for n, v in offer.fixed.items() if not offer.has(n)} | parameters(structure, offer, options)


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that do not apply, or that contradict, at their neutral values."""
    s = dict(structure)
    if s["dtype"] in ("float16", "bfloat16") and abs(s["scale"]) > 4:
        s["scale"] = 0
    if s["distance"] == "cosine":
        s.update(offset=0.0)
        s["scale"] = min(26, max(-26, s["scale"])) if s["dtype"] == "float32" else s["scale"]  # products of two squares
        if "floor" in s:
            s["floor"] = 0.0
    if s.get("soft_margin"):
        s["margin"], s["scale"] = offer.page.parameters["margin"]["default"], 0
    return s


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause of the conventions, of the distances or of the pairs that a failure speaks of."""
    gradient = kind == "gradient"
    clause = distances.conventions(kind, needed, half=half)
    if clause or "distance" in needed:
        return clause or distances.blame(needed, gradient=gradient)
    if "pairwise" in needed:
        return "PW-7" if gradient else "PW-6"
    if "floor" in needed:
        return "PW-4" if gradient else "PW-3"
    if "scale" in needed or "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


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
    rows = {"embeddings": [[0.0], [1.0], [2.0], [3.0]], "labels": [0, 0, 0, 1]}  # a negative, or there is no term
    one = OfErrors(inputs=rows, parameters={"max_positives": 1})
    yield Probe(loss, "errors", "PW-8", "more positives", options=one)
