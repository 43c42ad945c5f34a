"""Cases of the semi-hard triplet loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.blame import MODES, ROUNDING, UNITS, Blames, reductions
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.candidates import second_set
from lossproof.conformance.plan.cases.causes import alone, far_negative, unit_rows, without
from lossproof.conformance.plan.contract import LossCases

LOSS = "semi_hard_triplet_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE = pairs.space(
    first="squared_euclidean", margins=(1.0, 0.25, 0.0), soft_margin=(False, True), pairwise=("gram", "direct")
)
BASIC = pairs.basic(SPACE)


def unspecified(case: Case) -> dict[str, Array]:
    """Return what CV-11 and CV-12 leave open: pairs with a candidate that is not finite, and the rows of such pairs."""
    rows, labels = case.inputs["embeddings"], case.inputs["labels"]
    takes_part = case.inputs.get("mask", np.ones(len(rows), bool))
    bad = takes_part & ~np.isfinite(rows).all(axis=-1)
    both = takes_part[:, None] & takes_part
    same = labels[:, None] == labels
    positive, negative = both & same & ~np.eye(len(rows), dtype=bool), both & ~same
    left_open = positive & (bad[:, None] | bad | (negative & bad).any(axis=-1)[:, None])
    anchors = left_open.any(axis=-1)
    touched = anchors | left_open.any(axis=0) | (negative & anchors[:, None]).any(axis=0)
    return {"loss": left_open, "embeddings": touched}


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("pairwise",),
    controlled=("distance", "pairwise", "soft_margin"),
    smaller_shapes=pairs.SMALLER_SHAPES,
    inputs=pairs.inputs,
    legal_inputs=batches.LEGAL,
    formula={"value": "SH-1", "gradient": "SH-7"},
    blames=(
        *MODES,
        *pairs.SECOND_SET,
        Blames("soft_margin", "SH-12", "SH-7"),
        *UNITS,
        *ROUNDING,
        *reductions(mean="SH-4"),
        *pairs.BLAMES,
        Blames("identities", "SH-4", "SH-4"),
    ),
    normal=pairs.normal,
    grown=pairs.grown,
    causes=(
        alone("SH-4", identities="one"),  # no row has a negative
        alone("PW-2", identities="apart"),
        without("SH-3", far_negative),
        without("PW-1", unit_rows),
    ),
    unspecified=unspecified,
    second_set=second_set,
    fitted=pairs.fitted,
    vectorised=False,
    many=(131, 2),  # each row meets each; a prime, so that no block divides it
    counted=((35, 2), (35, 2)),  # rows of two identities have 4k + 2 pairs, 578 and more: bfloat16 cannot count them
)
