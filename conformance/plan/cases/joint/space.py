"""Cases of the joint loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.plan.blame import CONVENTIONS, PRECISION, Blames
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.causes import one_identity, two_identities, without
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.contract import LossCases

LOSS = "joint_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((7, 2), (5, 4), (8, 3), (1, 3)),
    "dtype": batches.SPACE["dtype"],
    "identities": ("few", "one", "apart"),
    "classes": (3, 5),
    **{name: batches.SPACE[name] for name in ("mask", "weights")},
    "triplet_weight": (1.0, 0.0, 0.5),
    "center_weight": (0.5, 0.0, 5e-4),
    "triplet_margin": (0.3, 1.0),
    "label_smoothing": (0.1, 0.0),
    **{name: batches.SPACE[name] for name in ("scale", "offset", "mode", "order")},
}
BASIC = {"shape": SPACE["shape"][:2], "dtype": SPACE["dtype"]}  # few shapes: each is compiled
MANY = (263, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FEW_ROWS = ((7, 2), (5, 4))


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    (count, width), classes, dtype = structure["shape"], structure["classes"], structure["dtype"]
    return {
        "logits": rounded(2 * rng.standard_normal((count, classes)), dtype),
        "embeddings": batches.embeddings(structure, rng),
        "labels": batches.labels(structure, rng, classes),
        "centers": rounded(structure["offset"] + 0.5 * rng.standard_normal((classes, width)), dtype),
    }


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("triplet_weight",),
    controlled=(),
    smaller_shapes=((1, 1), (3, 1), (3, 2), (4, 2)),
    inputs=inputs,
    legal_inputs={
        "logits": np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]),
        **batches.LEGAL,
        "centers": np.array([[0.5, 0.5], [1.0, -1.0]]),
    },
    formula={"value": "JO-1", "gradient": "JO-7"},
    blames=(
        Blames("weights", "JO-10", "JO-10"),
        *CONVENTIONS,
        Blames("label_smoothing", "JO-2"),
        Blames("triplet_margin", "JO-3"),
        Blames("identities", "JO-5"),
        PRECISION,
    ),
    causes=(
        without("JO-5", two_identities),  # every row is in a triplet, so that all denominators are alike
        without("JO-2", label_smoothing=0.0),
        without("JO-4", center_weight=0.0),
        without("JO-3", one_identity),  # no triplet: what is wrong still is the weights
    ),
    vectorised=False,
    few_rows=FEW_ROWS,
    sharp_rows=FEW_ROWS,
    many=MANY,
    counted=(MANY, MANY),
)
