"""Cases of the contrastive loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.structures import COTANGENTS, Structure, generator, open_rows
from lossproof.spec import losses

LOSS = "contrastive_loss"
ROWS = ("x1", "x2")
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((2, 3), (5, 4), (1, 16), (3, 1), (7, 2)),
    "dtype": ("float64", "float32"),
    **distances.SPACE,
    "pairs": ("similar", "dissimilar", "both"),
    "mask": (None, "some"),
    "reduction": ("none", "sum", "mean", "mean_nonzero"),
    "margin": (1.0, 0.2, 2.5),
    "factor": (0.5, 1.0, 0.3),
    "scale": (0,),  # rows times 2**scale, and the margin with them
    "offset": (0.0,),
    "mode": (),  # the implementation's first
    "order": (1,),
}
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "margin": SPACE["margin"],
    "factor": SPACE["factor"][:2],
    "pairs": ("both", "similar", "dissimilar"),
}
VARIED = ("pairs",)  # options besides distance, p and swap that the conventions are asked about
CONTROLLED = distances.CONTROLLED
SMALLER_SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3))
normal = distances.normal
unspecified = open_rows


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call: those that apply and that the function has."""
    return distances.parameters(structure, offer, OPTIONS)


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return distances.judged_parameters(structure, offer, OPTIONS)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    shape, dtype, unit = structure["shape"], structure["dtype"], 2.0 ** structure["scale"]
    size = unit * rng.choice([0.125, 0.5, 1.0], size=(2, *shape[:-1], 1))  # so that some pairs are within the margin
    rows = [rounded(np.asarray(structure["offset"] + s * rng.standard_normal(shape)), dtype) for s in size]
    share = {"similar": 0.0, "dissimilar": 1.0, "both": 0.5}[structure["pairs"]]
    inputs = {**dict(zip(ROWS, rows, strict=True)), "dissimilar": np.asarray(rng.random(shape[:-1]) < share)}
    if structure["mask"] == "some":
        mask = np.asarray(rng.random(shape[:-1]) < 0.6)
        if mask.size:
            mask.flat[rng.integers(mask.size)] = True
        inputs["mask"] = np.asarray(mask)
    elif structure["mask"] == "nothing":
        inputs["mask"] = np.zeros(shape[:-1], bool)
    units = shape[:-1] if structure["reduction"] == "none" and not structure.get("defaults") else ()
    cotangent = np.asarray(rng.choice(COTANGENTS, size=units))
    return Case(
        LOSS, inputs, dtype, parameters(structure, offer), structure["mode"], min(structure["order"], 1), cotangent
    )


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    clause = distances.conventions(kind, needed, half=half) or distances.blame(needed, gradient=gradient)
    if clause:
        return clause
    if "factor" in needed:
        return "CO-7" if gradient else "CO-3"
    if "pairs" in needed:
        return "CO-7" if gradient else "CO-2"
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    rows = [np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[1.5, 2.0], [0.5, 0.5]])]
    inputs = {**dict(zip(ROWS, rows, strict=True)), "dissimilar": np.array([True, False])}
    dtype = offer.choices("dtype", ["float32", "float64"])[0]
    return Case(LOSS, inputs, dtype, {}, offer.modes[-1] if "eager" not in offer.modes else "eager", 0)


def refusal(case: Case) -> str:
    """Return the clause that a refused call breaks."""
    return "CO-10" if case.parameters.get("margin") == 0 else "CV-23"


FORMULA = {"value": "CO-1", "gradient": "CO-7"}
ABSOLUTE = {"value": "DI-4", "gradient": "DI-11"}  # a small error that does not scale: eps
ROW_CLAUSE = "CO-4"  # where a failure needs more than one row
