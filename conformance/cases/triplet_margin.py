"""Cases of the triplet margin loss: its space of structures, its boundary cases, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.arrays import rounded
from lossproof.conformance.case import Case
from lossproof.conformance.cases.space import Offer, Structure, generator

LOSS = "triplet_margin_loss"
ROWS = ("anchor", "positive", "negative")
OPTIONS = ("margin", "distance", "p", "eps", "eps_at", "swap", "reduction")

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((2, 3), (5, 4), (1, 16), (3, 1), (7, 2)),
    "dtype": ("float64", "float32"),
    "distance": ("p_norm", "squared_euclidean", "cosine", "euclidean"),
    "p": (2.0, 1.0, inf, 3.0, 1.5, 7.0),
    "eps": (0.0, 1e-6, 0.25),
    "eps_at": ("difference", "root", "floor"),
    "swap": (False, True),
    "mask": (None, "some"),
    "reduction": ("none", "sum", "mean", "mean_nonzero"),
    "margin": (1.0, 0.2, 2.5),
    "scale": (0,),  # rows times 2**scale, and the margin with them
    "offset": (0.0,),
    "mode": (),  # the implementation's first
    "order": (1,),
}
BASIC = {"shape": SPACE["shape"][:3], "dtype": SPACE["dtype"], "margin": SPACE["margin"][:2]}
CONTROLLED = ("distance", "p", "eps", "eps_at")  # options that a control case shares with a special one
SMALLER_SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3))


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that do not apply, or that contradict, at their neutral values."""
    s = dict(structure)
    if s["distance"] != "p_norm":
        s.update(p=2.0, eps=1e-6, eps_at="difference")
    if s["p"] == inf and s["eps_at"] != "difference":
        s["eps"] = 0.0 if offer.has("eps") else s["eps"]
    if s["dtype"] in ("float16", "bfloat16") and abs(s["scale"]) > 4:
        s["scale"] = 0
    if not offer.ours and s["distance"] == "p_norm" and s["p"] not in (1.0, 2.0, inf):
        reach = int((900 if s["dtype"] == "float64" else 90) / s["p"])  # the domain of unscaled powers, DI-19
        s["scale"] = max(-reach, min(reach, s["scale"]))
    return s


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call: those that apply and that the function has."""
    if structure.get("defaults"):
        return {}
    unit = 2.0 ** (structure["scale"] * {"squared_euclidean": 2, "cosine": 0}.get(structure["distance"], 1))
    chosen = {name: structure[name] for name in OPTIONS} | {"margin": structure["margin"] * unit}
    if structure["distance"] != "p_norm":
        chosen = {name: value for name, value in chosen.items() if name not in ("p", "eps", "eps_at")}
    return {name: value for name, value in chosen.items() if offer.has(name)}


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    applies = structure["distance"] == "p_norm"
    fixed = {n: v for n, v in offer.fixed.items() if not offer.has(n) and (applies or n not in ("p", "eps", "eps_at"))}
    return fixed | parameters(structure, offer)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    shape, dtype, unit = structure["shape"], structure["dtype"], 2.0 ** structure["scale"]
    size = unit * rng.choice([0.5, 1.0, 2.0], size=(3, *shape[:-1], 1))  # so that some terms are 0 and some are not
    rows = [rounded(np.asarray(structure["offset"] + s * rng.standard_normal(shape)), dtype) for s in size]
    inputs = dict(zip(ROWS, rows, strict=True))
    if structure["mask"] == "some":
        mask = rng.random(shape[:-1]) < 0.6
        if mask.size:
            mask.flat[rng.integers(mask.size)] = True
        inputs["mask"] = np.asarray(mask)
    elif structure["mask"] == "nothing":
        inputs["mask"] = np.zeros(shape[:-1], bool)
    units = shape[:-1] if structure["reduction"] == "none" and not structure.get("defaults") else ()
    cotangent = np.asarray(rng.choice([0.5, 1.0, -1.0, 2.0], size=units))
    tangents = (
        {name: rounded(np.asarray(rng.standard_normal(shape)), dtype) for name in ROWS}
        if structure["order"] == 2
        else {}
    )
    return Case(
        LOSS,
        inputs,
        dtype,
        parameters(structure, offer),
        structure["mode"],
        structure["order"],
        cotangent,
        tangents,
    )


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    if kind == "second":
        return "CV-14"
    if "mode" in needed:
        return "CV-20" if needed["mode"] == "ambient" else "CV-22"
    if "mask" in needed:
        return "CV-9" if gradient else "CV-7"
    if "offset" in needed:
        return "CV-16" if gradient else "DI-4" if "eps" in needed else "CV-15"
    if "reduction" in needed:
        return {"none": "CV-1", "sum": "CV-2", "mean": "CV-3", "mean_nonzero": "CV-4"}[needed["reduction"]]
    if "dtype" in needed and half:
        return "CV-16" if gradient else "CV-17"
    if "swap" in needed:
        return "TM-4" if "eps" in needed and not gradient else "TM-7" if gradient else "TM-5"
    if "distance" in needed:
        value, derivative = {
            "squared_euclidean": ("DI-7", "DI-12"),
            "cosine": ("DI-8", "DI-13"),
            "euclidean": ("DI-9", "DI-11"),
        }[needed["distance"]]
        return derivative if gradient else value
    if "eps_at" in needed or "eps" in needed:
        placed = needed.get("eps_at", "difference")
        return "DI-11" if gradient else {"difference": "DI-4", "root": "DI-5", "floor": "DI-6"}[placed]
    if "scale" in needed:
        return "DI-19"
    if "p" in needed:
        return "DI-11" if gradient else {1.0: "DI-2", inf: "DI-3"}.get(needed["p"], "DI-1")
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    rows = [
        np.array([[1.0, 2.0], [0.5, -1.0]]),
        np.array([[1.5, 2.0], [0.5, 1.0]]),
        np.array([[0.0, 3.0], [2.0, 2.0]]),
    ]
    dtype = offer.choices("dtype", ["float32", "float64"])[0]
    return Case(
        LOSS,
        dict(zip(ROWS, rows, strict=True)),
        dtype,
        {},
        offer.modes[-1] if "eager" not in offer.modes else "eager",
        0,
    )


FORMULA = {"value": "TM-1", "gradient": "TM-7", "second": "CV-14"}
ABSOLUTE = {"value": "DI-4", "gradient": "DI-11", "second": "CV-14"}  # a small error that does not scale: eps
ROW_CLAUSE = "TM-8"  # where a failure needs more than one row
SHAPE_CLAUSE = "TM-2"
