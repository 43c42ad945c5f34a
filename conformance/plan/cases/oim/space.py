"""Cases of the OIM loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.causes import unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.spec import losses

LOSS = "oim_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **{name: batches.SPACE[name] for name in ("shape", "dtype", "identities", "mask")},
    "reduction": ("none", "sum", "mean"),
    "classes": (3, 1, 6),
    "queue": (4, 2, 0),  # rows
    "strangers": ("none", "some", "all"),  # rows without an identity
    "memory": ("full", "empty rows"),
    "temperature": (0.5, 0.1, 1.0),
    "unlabelled": (-1, 99),
    "scale": (0,),  # embeddings times 2**scale, the memory divided by it
    "mode": (),  # the implementation's first
    "order": (1,),
}
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "classes": SPACE["classes"],
    "temperature": SPACE["temperature"][:2],
}
VARIED = ("strangers", "temperature")  # options that the conventions are asked about
CONTROLLED = ("temperature",)  # options that a control case shares with a special one
SMALLER_SHAPES = batches.SMALLER_SHAPES


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with rows that a half format holds."""
    half = structure["dtype"] in ("float16", "bfloat16")
    s = dict(structure) | ({"scale": 0} if half else {})
    if not offer.has("unlabelled"):
        s["unlabelled"] = offer.neutral("unlabelled")
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
    dtype, (count, width) = structure["dtype"], structure["shape"]
    memory = 2.0 ** -structure["scale"] * rng.standard_normal((structure["classes"] + structure["queue"], width))
    if structure["memory"] == "empty rows":
        memory[rng.random(len(memory)) < 0.5] = 0.0
    labels = batches.labels(structure, rng, structure["classes"])
    share = {"none": 0.0, "some": 0.4, "all": 1.0}[structure["strangers"]]
    stranger = -1 if structure.get("defaults") else structure["unlabelled"]
    inputs = {
        "embeddings": batches.embeddings({"offset": 0.0, **structure}, rng),
        "labels": np.where(rng.random(count) < share, stranger, labels),
        "lookup_table": rounded(memory[: structure["classes"]], dtype),
        "queue": rounded(memory[structure["classes"] :], dtype),
        **batches.mask(structure, rng),
    }
    order, cotangent = min(structure["order"], 1), batches.cotangent(structure, rng)
    return Case(LOSS, inputs, dtype, parameters(structure, offer), structure["mode"], order, cotangent)


def unspecified(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open: the rows that hold NaN or infinity."""
    rows = np.asarray(~np.isfinite(case.inputs["embeddings"]).all(axis=-1))
    return {"loss": rows, "embeddings": rows}


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    if "unlabelled" in needed:
        return "OI-4"
    if "strangers" in needed:
        return "OI-8" if gradient else "OI-3"
    clause = batches.blame(kind, needed, half)
    if clause:
        return clause
    if "memory" in needed:
        return "OI-8" if gradient else "OI-2"
    if "queue" in needed and needed["queue"] == 0:
        return "OI-6"
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    table = np.array([[0.5, 0.5], [1.0, -1.0], [0.0, 2.0]])
    return batches.legal(LOSS, offer, lookup_table=table, queue=np.array([[1.0, 0.0], [0.0, 0.5]]))


def refusal(case: Case) -> str:
    """Return the clause that a refused call breaks."""
    return "CV-23" if len(case.inputs["queue"]) else "OI-6"


FORMULA = {"value": "OI-1", "gradient": "OI-8"}
CAUSES = (without("OI-2", unit_rows),)
