"""Structures of cases: a choice for each field, the neutral one first, restricted to what an implementation offers.

Hypothesis draws structures; the numbers are filled in from a seed made of the run's seed and the structure, so that
the same seed gives the same cases whatever else changes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES, Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.spec import losses

Structure = dict[str, Any]
Shape = tuple[int, ...]
# Fields that came later, with the choice at which they change no number: there the draws are those of before
LATER: Structure = {"weights": None, "class_weights": None, "candidates": None, "soft_margin": False}
COTANGENTS = (0.5, 1.0 + 2.0**-12, -1.0, 2.0, 384.0)  # no half format holds the second


def generator(seed: int, *parts: Any) -> np.random.Generator:
    """Return the generator of a case: the same parts, the same numbers, on every machine.

    Without a field that came later the numbers are those that there were before it.
    """
    known = [
        {n: v for n, v in part.items() if n not in LATER or v != LATER[n]} if isinstance(part, dict) else part
        for part in parts
    ]
    digest = hashlib.blake2b(json.dumps([seed, *known], sort_keys=True, default=str).encode(), digest_size=16)
    return np.random.default_rng(int.from_bytes(digest.digest(), "little"))


def held(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with rows that a half format holds."""
    beyond = structure["dtype"] in HALVES and abs(structure["scale"]) > 4
    return {**structure, "scale": 0} if beyond else dict(structure)


def mask(structure: Structure, rng: np.random.Generator, units: Shape) -> dict[str, Array]:
    """Return the mask of the structure as an input, if it has one."""
    if structure["mask"] is None:
        return {}
    if structure["mask"] == "nothing":
        return {"mask": np.zeros(units, bool)}
    chosen = np.asarray(rng.random(units) < 0.6)
    if chosen.size:
        chosen.flat[rng.integers(chosen.size)] = True
    return {"mask": chosen}


NOTHING, EVERY_SIZE = "all are 0", "of every size"  # kinds of weights that probes of their own ask for
WEIGHTS = (None, "some", "some are 0")  # of units
WEIGHED = (*WEIGHTS[1:], NOTHING, EVERY_SIZE)


def weights(structure: Structure, rng: np.random.Generator, units: Shape) -> dict[str, Array]:
    """Return the weights of the structure as an input, if it has some: round ones, and some that are not.

    Those of every size are neither 0 nor alike: nothing may be added to them, nor be cut off.
    """
    kind = structure.get("weights")
    if kind is None:
        return {}
    if kind == EVERY_SIZE:
        size = rng.choice([2.0**-50, 1.0]) * rng.choice([1.0, 3.0, 2.0**-5, 2.0**50], size=units)
        return {"weights": np.asarray(size, float)}
    drawn = rounded(rng.choice([0.5, 1.0, 3.0, rng.uniform(0.1, 4.0), 2.0**-9], size=units), structure["dtype"])
    zero = np.zeros(units, bool) if kind == "some" else np.asarray(rng.random(units) < 0.4)
    if kind == "some are 0" and zero.size:
        zero.flat[rng.integers(zero.size)] = True
    return {"weights": np.where(zero | (kind == NOTHING), 0.0, drawn)}


def class_weights(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Return the weights of the classes of logits (B, K) as an input, if the structure has some."""
    given = {"weights": structure.get("class_weights"), "dtype": structure["dtype"]}
    drawn = weights(given, rng, structure["shape"][-1:])
    return {"class_weights": drawn["weights"]} if drawn else {}


def split_of(kind: str | None, rows: int, world: int, rng: np.random.Generator, *, even: bool) -> tuple[int, ...]:
    """Return how many rows each process holds, in one of the ways of `many_devices`; () where that cannot be.

    With `even` all must hold equally many.
    """
    if even or kind == "even":
        return () if even and rows % world else tuple(map(len, np.array_split(np.arange(rows), world)))
    if kind is None:
        kind = str(rng.choice(["even", "uneven", "one without rows", "all on one"]))
    if kind == "all on one":
        held = np.arange(world) == rng.integers(world)
    elif kind == "one without rows":
        held = np.arange(world) != rng.integers(world)
    else:
        held = np.ones(world, bool)
    shares = rng.dirichlet(np.where(held, 1.0, 1e-9)) if kind != "even" else np.full(world, 1 / world)
    places = np.sort(rng.choice(np.flatnonzero(held), size=rows, p=shares[held] / shares[held].sum()))
    return tuple(int(n) for n in np.bincount(places, minlength=world))


def ordinary(case: Case, name: str) -> Array:
    """Return a legal argument that a call may go without: everything takes part and weighs 1.

    The candidates are the rows in the opposite order, and each anchor names its own.
    """
    own = {"candidates": "embeddings", "candidate_labels": "labels"}
    if name in own:
        return case.inputs[own[name]][::-1]
    entry, first = losses()[case.loss].inputs[name], next(iter(case.inputs.values())).shape
    if entry["kind"] == "index":
        return np.arange(first[0])[::-1]
    return np.ones(first[-1:] if entry["shape"] == "K" else first[:-1], bool if entry["kind"] == "bool" else float)


def terms_shape(case: Case) -> Shape:
    """Return the shape of the unreduced loss, which the unit on its page gives."""
    page = losses()[case.loss]
    if page.front["unit"] == "batch":
        return ()
    units = case.inputs[next(iter(page.inputs))].shape[:-1]
    across = case.inputs["candidates"].shape[:1] if "candidates" in case.inputs else units  # SH-13
    return (*units, *across) if page.front["unit"] == "pair" else units


def open_rows(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open where each term has its own rows: those that hold NaN or infinity."""
    names = losses()[case.loss].rows
    rows = np.asarray(np.logical_or.reduce([~np.isfinite(case.inputs[n]).all(axis=-1) for n in names]))
    return {"loss": rows, **dict.fromkeys(names, rows)}
