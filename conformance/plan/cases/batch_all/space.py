"""Cases of the batch-all triplet loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from lossproof.conformance.plan.blame import MODES, ROUNDING, UNITS, Blames, reductions
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.candidates import second_set
from lossproof.conformance.plan.cases.causes import alone, unit_rows, without
from lossproof.conformance.plan.contract import LossCases

LOSS = "batch_all_triplet_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE = pairs.space(first="euclidean", margins=(1.0, 0.25, 0.0), pairwise=("gram", "direct"))
BASIC = pairs.basic(SPACE)
CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("pairwise",),
    controlled=("distance", "pairwise"),
    smaller_shapes=pairs.SMALLER_SHAPES,
    inputs=pairs.inputs,
    legal_inputs=batches.LEGAL,
    formula={"value": "BA-1", "gradient": "BA-5"},
    blames=(
        *MODES,
        *pairs.SECOND_SET,
        Blames("weights", "BA-9", "BA-9"),
        *UNITS,
        *ROUNDING,
        *reductions(mean="BA-3", mean_nonzero="BA-4"),
        *pairs.BLAMES,
        Blames("identities", "BA-2", "BA-2"),
    ),
    normal=pairs.normal,
    grown=pairs.grown,
    causes=(
        alone("BA-2", identities="apart"),  # no row has a positive
        alone("BA-2", identities="one"),
        without("PW-1", unit_rows),
    ),
    second_set=second_set,
    fitted=pairs.fitted,
    vectorised=False,
    many=(131, 2),  # each row meets each; a prime, so that no block divides it
    counted=((19, 2), (67, 2)),  # rows whose triplets the half formats cannot count, few enough for sharp budgets
)
