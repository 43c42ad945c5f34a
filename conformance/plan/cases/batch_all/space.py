"""Cases of the batch-all triplet loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.causes import alone, unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.spec import losses

LOSS = "batch_all_triplet_loss"
OPTIONS = tuple(name for name in losses()[LOSS].parameters if name != "max_positives")  # which has its own probes

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE = pairs.space(first="euclidean", margins=(1.0, 0.25, 0.0), pairwise=("gram", "direct"))
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "margin": SPACE["margin"][:2],
    "identities": ("few", "many rows"),
}
VARIED = ("pairwise",)
CONTROLLED = ("distance", "pairwise")
SMALLER_SHAPES = pairs.SMALLER_SHAPES
COUNTED = (19, 2), (67, 2)  # rows whose triplets bfloat16 and float16 cannot count, few enough for sharp budgets
MANY = (131, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FORMULA = {"value": "BA-1", "gradient": "BA-5"}
CAUSES = (
    alone("BA-2", identities="apart"),  # no row has a positive
    alone("BA-2", identities="one"),
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
    clause = pairs.blame(kind, needed, half) or ("BA-2" if "identities" in needed else None)
    return {"CV-3": "BA-3", "CV-4": "BA-4"}.get(clause or "", clause)  # the page has its own clauses of its means


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    return batches.legal(LOSS, offer)
