"""Cases of the CosFace loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches, structures
from lossproof.conformance.plan.cases.causes import unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.spec import losses

LOSS = "cosface_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((5, 2), (7, 4), (8, 3), (1, 3)),
    "dtype": ("float64", "float32"),
    "identities": ("few", "one", "apart"),
    "classes": (3, 5),
    "angle": ("any", "parallel", "sure"),  # between a row and the class weight of its label
    "mask": (None, "some"),
    "reduction": ("none", "sum", "mean"),
    "scale": (8.0, 1.0, 64.0),
    "margin": (0.35, 0.0, 0.5, 3.0),
    "size": (0,),  # rows and class weights times 2**size and 2**-size
    "mode": (),  # the implementation's first
    "order": (1,),
}
BASIC = {"shape": SPACE["shape"][:2], "dtype": SPACE["dtype"], "scale": (8.0, 1.0)}  # few shapes: each is compiled
VARIED = ()  # options that the conventions are asked about
CONTROLLED = ()  # options that a control case shares with a special one
SMALLER_SHAPES = ((1, 2), (2, 2), (2, 3), (3, 2))


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with a size that its dtype holds."""
    s = dict(structure)
    if s["dtype"] in ("float16", "bfloat16"):
        s["size"] = max(-4, min(4, s["size"]))
    return s


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call: those that the function has."""
    return batches.given(structure, offer, OPTIONS)


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return batches.judged(structure, offer, OPTIONS)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    (count, width), classes, dtype = structure["shape"], structure["classes"], structure["dtype"]
    labels, unit = batches.labels(structure, rng, classes), 2.0 ** structure["size"]
    rows, weights = rng.standard_normal((count, width)), rng.standard_normal((classes, width))
    if structure["angle"] != "any":  # of one direction, or of opposite ones
        near = 0.1 if structure["angle"] == "sure" else rng.choice([3e-4, 1e-3])
        rows = weights[labels] + near * rows
    if structure["angle"] == "parallel":
        rows *= rng.choice([1.0, -1.0], size=(count, 1))
    rows = unit * rows * rng.choice([0.5, 1.0, 2.0], size=(count, 1))
    inputs = {
        "embeddings": rounded(rows, dtype),
        "labels": labels,
        "class_weights": rounded(weights / unit, dtype),
        **batches.mask(structure, rng),
    }
    order, cotangent = min(structure["order"], 1), batches.cotangent(structure, rng)
    return Case(LOSS, inputs, dtype, parameters(structure, offer), structure["mode"], order, cotangent)


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    clause = batches.blame(kind, needed, half)
    if clause:
        return clause
    if gradient and needed.get("angle") == "parallel":
        return "CF-7"
    if "size" in needed:
        return "CF-6" if gradient else "CF-2"
    if "margin" in needed and not gradient:
        return "CF-3"
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def unspecified(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open: the rows that hold NaN or infinity, and every class weight."""
    weights = case.inputs["class_weights"]
    return {**structures.open_rows(case), "class_weights": np.ones(len(weights), bool)}


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    return batches.legal(LOSS, offer, class_weights=np.array([[1.0, 0.5], [-0.5, 2.0]]))


FORMULA = {"value": "CF-1", "gradient": "CF-6"}
CAUSES = (without("CF-2", unit_rows),)
ROW_CLAUSE = "CF-9"  # where a failure needs more than one row
