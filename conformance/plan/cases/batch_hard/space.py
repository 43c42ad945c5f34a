"""Cases of the batch-hard triplet loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from lossproof.conformance.plan.blame import MODES, ROUNDING, UNITS, Blames, reductions
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.candidates import second_set
from lossproof.conformance.plan.cases.causes import alone, unit_rows, without
from lossproof.conformance.plan.contract import LossCases

LOSS = "batch_hard_triplet_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE = pairs.space(
    first="euclidean", margins=(0.3, 1.0, 0.0), soft_margin=(False, True), floor=(0.0, 0.25), include_self=(False, True)
)
BASIC = pairs.basic(SPACE)
MANY = (263, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("include_self", "soft_margin"),
    controlled=("distance", "soft_margin"),
    smaller_shapes=pairs.SMALLER_SHAPES,
    inputs=pairs.inputs,
    legal_inputs=batches.LEGAL,
    formula={"value": "BH-1", "gradient": "BH-7"},
    blames=(
        *MODES,
        *pairs.SECOND_SET,
        Blames("include_self", "BH-3", "BH-10"),
        Blames("soft_margin", "BH-4", "BH-7"),
        *UNITS,
        *ROUNDING,
        *reductions(),
        *pairs.BLAMES,
        Blames("identities", "BH-2", "BH-2"),
    ),
    normal=pairs.normal,
    grown=pairs.grown,
    causes=(
        alone("BH-2", identities="apart"),  # no row has a positive
        alone("BH-2", identities="one"),
        without("PW-1", unit_rows),
    ),
    second_set=second_set,
    vectorised=False,
    many=MANY,
    counted=(MANY, MANY),
)
