"""Cases of the ArcFace loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.plan.blame import CONVENTIONS, PRECISION, Blames, by_choice
from lossproof.conformance.plan.cases import batches, class_weights
from lossproof.conformance.plan.cases.causes import unit_rows, without
from lossproof.conformance.plan.cases.structures import WEIGHTS, Structure
from lossproof.conformance.plan.contract import LossCases

LOSS = "arcface_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((5, 2), (7, 4), (8, 3), (1, 3)),
    "dtype": ("float64", "float32"),
    "identities": ("few", "one", "apart"),
    "classes": (3, 5),
    "angle": ("any", "small", "nearly pi", "sure"),  # between a row and the class weight of its label
    "mask": (None, "some"),
    "weights": WEIGHTS,
    "reduction": ("none", "sum", "mean"),
    "scale": (8.0, 1.0, 64.0),
    "margin": (0.5, 0.0, 1.25, 0.3),
    "beyond_pi": ("keep", "linear", "continuous"),
    "size": (0,),  # rows and class weights times 2**size and 2**-size
    "mode": (),  # the implementation's first
    "order": (1,),
}
BASIC = {"shape": SPACE["shape"][:2], "dtype": SPACE["dtype"], "scale": (8.0, 1.0)}  # few shapes: each is compiled


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    (count, width), classes = structure["shape"], structure["classes"]
    labels = batches.labels(structure, rng, classes)
    rows, weights = rng.standard_normal((count, width)), rng.standard_normal((classes, width))
    if structure["angle"] == "sure":  # the label's class weight is by far the nearest
        rows = weights[labels] + 0.1 * rows
    elif structure["angle"] != "any":
        weights = weights[:1] + 0.05 * weights  # so that the label's logit is not the largest by far
        rows = weights[labels] + rng.choice([3e-4, 1e-3]) * rows
        rows = rows if structure["angle"] == "small" else -rows
    return class_weights.sized(structure, rows, labels, weights, rng)


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("beyond_pi",),
    controlled=("beyond_pi",),
    smaller_shapes=((1, 2), (2, 2), (2, 3), (3, 2)),
    inputs=inputs,
    legal_inputs={**batches.LEGAL, "class_weights": np.array([[1.0, 0.5], [-0.5, 2.0]])},
    formula={"value": "AF-1", "gradient": "AF-11"},
    blames=(
        *CONVENTIONS,
        Blames("angle", "AF-4", "AF-11"),
        *by_choice(
            "beyond_pi", {"keep": ("AF-5", "AF-12"), "linear": ("AF-6", "AF-12"), "continuous": ("AF-7", "AF-12")}
        ),
        Blames("size", "AF-2", "AF-11"),
        PRECISION,
    ),
    normal=class_weights.normal,
    row_clause="AF-16",
    causes=(without("AF-2", unit_rows),),
    unspecified=class_weights.unspecified,
    vectorised=False,
)
