"""Cases of the center loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.spec import losses

LOSS = "center_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **{name: batches.SPACE[name] for name in ("shape", "dtype", "identities", "mask")},
    "reduction": ("none", "sum", "mean"),
    "classes": (3, 1, 6),
    "factor": (0.5, 1.0, 0.3),
    "floor": (0.0, 1e-12, 0.75, 0.3),
    "ceiling": (inf, 1e12, 2.5),
    **{name: batches.SPACE[name] for name in ("scale", "offset", "mode", "order")},
}
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "identities": SPACE["identities"],
    "classes": SPACE["classes"],
}
VARIED = ("floor", "ceiling")  # options that the conventions are asked about
CONTROLLED = ("factor", "floor", "ceiling")  # options that a control case shares with a special one
SMALLER_SHAPES = batches.SMALLER_SHAPES


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with rows that a half format holds."""
    half = structure["dtype"] in ("float16", "bfloat16")
    return dict(structure) | ({"scale": 0} if half and abs(structure["scale"]) > 4 else {})


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call: those that the function has; floor and ceiling grow with the rows."""
    given = batches.given(structure, offer, OPTIONS)
    unit = 4.0 ** structure["scale"]
    return {name: value * unit if name in ("floor", "ceiling") else value for name, value in given.items()}


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return batches.judged(structure, offer, OPTIONS) | parameters(structure, offer)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    dtype, shape = structure["dtype"], (structure["classes"], structure["shape"][1])
    centers = structure["offset"] + 2.0 ** structure["scale"] * 0.5 * rng.standard_normal(shape)
    inputs = {
        "embeddings": batches.embeddings(structure, rng),
        "labels": batches.labels(structure, rng, structure["classes"]),
        "centers": rounded(centers, dtype),
        **batches.mask(structure, rng),
    }
    order, cotangent = min(structure["order"], 1), batches.cotangent(structure, rng)
    return Case(LOSS, inputs, dtype, parameters(structure, offer), structure["mode"], order, cotangent)


def unspecified(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open: the rows that hold NaN or infinity, and the centers of their labels."""
    rows = np.asarray(~np.isfinite(case.inputs["embeddings"]).all(axis=-1))
    centers = np.zeros(len(case.inputs["centers"]), bool)
    centers[case.inputs["labels"][rows]] = True
    return {"loss": rows, "embeddings": rows, "centers": centers}


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    clause = batches.blame(kind, needed, half)
    if clause:
        return clause
    if "floor" in needed or "ceiling" in needed:
        return "CN-9" if gradient else "CN-2"
    if "factor" in needed:
        return "CN-7" if gradient else "CN-1"
    if "classes" in needed or "identities" in needed:
        return "CN-8" if gradient else "CN-3"
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    return batches.legal(LOSS, offer, centers=np.array([[0.5, 0.5], [1.0, -1.0], [0.0, 2.0]]))


FORMULA = {"value": "CN-1", "gradient": "CN-7"}
GRADIENT_OF = {"centers": "CN-8"}  # where the gradient of every earlier input is right
