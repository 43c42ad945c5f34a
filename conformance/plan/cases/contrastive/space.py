"""Cases of the contrastive loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.blame import CONVENTIONS, PRECISION, Blames
from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.structures import WEIGHTS, Structure, open_rows
from lossproof.conformance.plan.contract import LossCases

LOSS = "contrastive_loss"
ROWS = ("x1", "x2")

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((2, 3), (5, 4), (1, 16), (3, 1), (7, 2)),
    "dtype": ("float64", "float32"),
    **distances.SPACE,
    "pairs": ("similar", "dissimilar", "both"),
    "mask": (None, "some"),
    "weights": WEIGHTS,
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


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers: some pairs are within the margin."""
    rows = distances.rows(structure, rng, ROWS, [0.125, 0.5, 1.0])
    share = {"similar": 0.0, "dissimilar": 1.0, "both": 0.5}[structure["pairs"]]
    return {**rows, "dissimilar": np.asarray(rng.random(structure["shape"][:-1]) < share)}


def refusal(case: Case) -> str:
    """Return the clause that a refused call breaks."""
    return "CO-10" if case.parameters.get("margin") == 0 else "CV-23"


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("pairs",),  # options besides distance, p and swap that the conventions are asked about
    controlled=distances.CONTROLLED,
    smaller_shapes=distances.SMALLER_SHAPES,
    inputs=inputs,
    legal_inputs={
        "x1": np.array([[1.0, 2.0], [0.5, -1.0]]),
        "x2": np.array([[1.5, 2.0], [0.5, 0.5]]),
        "dissimilar": np.array([True, False]),
    },
    formula={"value": "CO-1", "gradient": "CO-7"},
    blames=(
        *CONVENTIONS,
        *distances.BLAMES,
        Blames("factor", "CO-3", "CO-7"),
        Blames("pairs", "CO-2", "CO-7"),
        PRECISION,
    ),
    normal=distances.normal,
    grown=distances.grown,
    refusal=refusal,
    row_clause="CO-4",
    unspecified=open_rows,
)
