"""Cases of the OIM loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.blame import CONVENTIONS, PRECISION, Blames
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.causes import unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure, held, open_rows
from lossproof.conformance.plan.contract import LossCases

LOSS = "oim_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **{name: batches.SPACE[name] for name in ("shape", "dtype", "identities", "mask", "weights")},
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


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with rows that a half format holds, and the label of none that the function has."""
    s = held(structure, offer)
    return s if offer.has("unlabelled") else s | {"unlabelled": offer.neutral("unlabelled")}


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    dtype, (count, width) = structure["dtype"], structure["shape"]
    memory = 2.0 ** -structure["scale"] * rng.standard_normal((structure["classes"] + structure["queue"], width))
    if structure["memory"] == "empty rows":
        memory[rng.random(len(memory)) < 0.5] = 0.0
    labels = batches.labels(structure, rng, structure["classes"])
    share = {"none": 0.0, "some": 0.4, "all": 1.0}[structure["strangers"]]
    stranger = -1 if structure.get("defaults") else structure["unlabelled"]
    return {
        "embeddings": batches.embeddings({"offset": 0.0, **structure}, rng),
        "labels": np.where(rng.random(count) < share, stranger, labels),
        "lookup_table": rounded(memory[: structure["classes"]], dtype),
        "queue": rounded(memory[structure["classes"] :], dtype),
    }


def refusal(case: Case) -> str:
    """Return the clause that a refused call breaks."""
    return "CV-23" if len(case.inputs["queue"]) else "OI-6"


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("strangers", "temperature"),
    controlled=("temperature",),
    smaller_shapes=batches.SMALLER_SHAPES,
    inputs=inputs,
    legal_inputs={
        **batches.LEGAL,
        "lookup_table": np.array([[0.5, 0.5], [1.0, -1.0], [0.0, 2.0]]),
        "queue": np.array([[1.0, 0.0], [0.0, 0.5]]),
    },
    formula={"value": "OI-1", "gradient": "OI-8"},
    blames=(
        Blames("unlabelled", "OI-4", "OI-4"),
        Blames("strangers", "OI-3", "OI-8"),
        *CONVENTIONS,
        Blames("memory", "OI-2", "OI-8"),
        Blames("queue", "OI-6", "OI-6", among=(0,)),
        PRECISION,
    ),
    normal=normal,
    refusal=refusal,
    causes=(without("OI-2", unit_rows),),
    unspecified=open_rows,
    vectorised=False,
)
