"""Cases of the circle loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.blame import MODES, PRECISION, ROUNDING, UNITS, Blames, reductions
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.candidates import CANDIDATES, second_set
from lossproof.conformance.plan.cases.causes import alone, unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure, held
from lossproof.conformance.plan.contract import LossCases

LOSS = "circle_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **batches.SPACE,
    "margin": (0.25, 0.4, -0.2, 0.0),
    "gamma": (8.0, 2.0, 32.0, 256.0, 80.1),
    "detach_weights": (True, False),
    "candidates": CANDIDATES,
}
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "margin": SPACE["margin"][:2],
    "gamma": SPACE["gamma"][:2],
}
LARGE_GAMMA = range(128, 10_001)  # whose exponentials are no numbers
MANY = (263, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FEW_ROWS = ((5, 4), (4, 3))  # a term that is not 0 needs three rows


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with a scale that its dtype can hold."""
    s = held(structure, offer)
    if s["dtype"] == "float32":
        s["scale"] = min(26, max(-26, s["scale"]))  # so that the product of two squared norms is a number
    return s


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("detach_weights", "identities"),
    controlled=("detach_weights",),
    smaller_shapes=batches.SMALLER_SHAPES,
    inputs=pairs.inputs,
    legal_inputs=batches.LEGAL,
    formula={"value": "CI-1", "gradient": "CI-10"},
    blames=(
        *MODES,
        *pairs.SECOND_SET,
        *UNITS,
        *ROUNDING,
        *reductions(),
        Blames("detach_weights", "CI-1", "CI-11"),
        Blames("scale", "CI-3", "CI-12"),
        Blames("gamma", "CI-7", "CI-7", among=LARGE_GAMMA),
        Blames("identities", "CI-6", "CI-13", among=("one", "apart")),
        Blames("margin", "CI-4", "CI-10"),
        PRECISION,
    ),
    normal=normal,
    causes=(
        alone("CI-6", identities="one"),  # no row has a negative
        alone("CI-2", identities="apart"),
        without("CI-3", unit_rows),
        without("CI-4", margin=1.0),  # every weight is positive
        alone("CI-13", "gradient", identities="one"),
        alone("CI-13", "gradient", identities="apart"),
    ),
    second_set=second_set,
    vectorised=False,
    few_rows=FEW_ROWS,
    sharp_rows=FEW_ROWS,
    many=MANY,
    counted=(MANY, MANY),
)
