"""Cases of the center loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.blame import CONVENTIONS, PRECISION, Blames
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.contract import LossCases

LOSS = "center_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **{name: batches.SPACE[name] for name in ("shape", "dtype", "identities", "mask", "weights")},
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


def grown(structure: Structure) -> Structure:
    """Return the structure with a floor and a ceiling in units of the rows."""
    return structure | {name: structure[name] * 4.0 ** structure["scale"] for name in ("floor", "ceiling")}


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    shape, unit = (structure["classes"], structure["shape"][1]), 2.0 ** structure["scale"]
    centers = structure["offset"] + unit * 0.5 * rng.standard_normal(shape)
    return {
        "embeddings": batches.embeddings(structure, rng),
        "labels": batches.labels(structure, rng, structure["classes"]),
        "centers": rounded(centers, structure["dtype"]),
    }


def unspecified(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open: the rows that hold NaN or infinity, and the centers of their labels."""
    rows = np.asarray(~np.isfinite(case.inputs["embeddings"]).all(axis=-1))
    centers = np.zeros(len(case.inputs["centers"]), bool)
    centers[case.inputs["labels"][rows]] = True
    return {"loss": rows, "embeddings": rows, "centers": centers}


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("floor", "ceiling"),
    controlled=("factor", "floor", "ceiling"),
    smaller_shapes=batches.SMALLER_SHAPES,
    inputs=inputs,
    legal_inputs={**batches.LEGAL, "centers": np.array([[0.5, 0.5], [1.0, -1.0], [0.0, 2.0]])},
    formula={"value": "CN-1", "gradient": "CN-7"},
    blames=(
        *CONVENTIONS,
        Blames("floor", "CN-2", "CN-9"),
        Blames("ceiling", "CN-2", "CN-9"),
        Blames("factor", "CN-1", "CN-7"),
        Blames("classes", "CN-3", "CN-8"),
        Blames("identities", "CN-3", "CN-8"),
        PRECISION,
    ),
    grown=grown,
    gradient_of={"centers": "CN-8"},
    unspecified=unspecified,
    vectorised=False,
)
