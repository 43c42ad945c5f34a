"""Cases of the batch-hard triplet loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.causes import alone, unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.spec import losses

LOSS = "batch_hard_triplet_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE = pairs.space(
    first="euclidean", margins=(0.3, 1.0, 0.0), soft_margin=(False, True), floor=(0.0, 0.25), include_self=(False, True)
)
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "margin": SPACE["margin"][:2],
    "identities": ("few", "many rows"),
}
VARIED = ("include_self", "soft_margin")
CONTROLLED = ("distance", "soft_margin")
SMALLER_SHAPES = pairs.SMALLER_SHAPES
MANY = (263, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FORMULA = {"value": "BH-1", "gradient": "BH-7"}
CAUSES = (
    alone("BH-2", identities="apart"),  # no row has a positive
    alone("BH-2", identities="one"),
    without("PW-1", unit_rows),
)
normal = pairs.normal


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call."""
    return pairs.parameters(structure, offer, OPTIONS)


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with."""
    return pairs.fixed(structure, offer, OPTIONS)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    return pairs.build(LOSS, structure, parameters(structure, offer), seed, fill, pairs=False)


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    if "include_self" in needed and "mode" not in needed:
        return "BH-10" if gradient else "BH-3"
    if "soft_margin" in needed and "mode" not in needed:
        return "BH-7" if gradient else "BH-4"
    return pairs.blame(kind, needed, half) or ("BH-2" if "identities" in needed else None)


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    return batches.legal(LOSS, offer)
