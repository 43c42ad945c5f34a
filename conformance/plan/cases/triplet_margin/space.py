"""Cases of the triplet margin loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.blame import MODES, PRECISION, ROUNDING, UNITS, Blames, reductions
from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.structures import WEIGHTS, Structure, open_rows
from lossproof.conformance.plan.contract import LossCases

LOSS = "triplet_margin_loss"
ROWS = ("anchor", "positive", "negative")

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((2, 3), (5, 4), (1, 16), (3, 1), (7, 2)),
    "dtype": ("float64", "float32"),
    **distances.SPACE,
    "swap": (False, True),
    "mask": (None, "some"),
    "weights": WEIGHTS,
    "reduction": ("none", "sum", "mean", "mean_nonzero"),
    "margin": (1.0, 0.2, 2.5),
    "soft_margin": (False, True),
    "scale": (0,),  # rows times 2**scale, and the margin with them
    "offset": (0.0,),
    "mode": (),  # the implementation's first
    "order": (1,),
}
BASIC = {"shape": SPACE["shape"][:3], "dtype": SPACE["dtype"], "margin": SPACE["margin"][:2]}


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers: some terms are 0 and some are not."""
    return distances.rows(structure, rng, ROWS, [0.5, 1.0, 2.0])


def refusal(case: Case) -> str:
    """Return the clause that a refused call breaks."""
    return "TM-3" if case.parameters.get("margin") == 0 else "CV-23"


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=(),  # options besides distance, p and swap that the conventions are asked about
    controlled=(*distances.CONTROLLED, "soft_margin"),
    smaller_shapes=distances.SMALLER_SHAPES,
    inputs=inputs,
    legal_inputs={
        "anchor": np.array([[1.0, 2.0], [0.5, -1.0]]),
        "positive": np.array([[1.5, 2.0], [0.5, 1.0]]),
        "negative": np.array([[0.0, 3.0], [2.0, 2.0]]),
    },
    formula={"value": "TM-1", "gradient": "TM-7", "second": "CV-14"},
    blames=(
        *MODES,
        Blames("soft_margin", "TM-11", "TM-7"),
        *UNITS,
        *ROUNDING,
        *reductions(),
        Blames("swap", "TM-4", beside="eps"),
        Blames("swap", "TM-5", "TM-7"),
        *distances.BLAMES,
        PRECISION,
    ),
    normal=distances.normal,
    grown=distances.grown,
    refusal=refusal,
    row_clause="TM-8",
    unspecified=open_rows,
)
