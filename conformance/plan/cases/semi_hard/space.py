"""Cases of the semi-hard triplet loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches, pairs
from lossproof.conformance.plan.cases.causes import alone, far_negative, unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.spec import losses

LOSS = "semi_hard_triplet_loss"
OPTIONS = tuple(name for name in losses()[LOSS].parameters if name != "max_positives")  # which has its own probes

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE = pairs.space(first="squared_euclidean", margins=(1.0, 0.25, 0.0), pairwise=("gram", "direct"))
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "margin": SPACE["margin"][:2],
    "identities": ("few", "many rows"),
}
VARIED = ("pairwise",)
CONTROLLED = ("distance", "pairwise")
SMALLER_SHAPES = pairs.SMALLER_SHAPES
COUNTED = (35, 2), (35, 2)  # rows of two identities have 4k + 2 pairs, 578 and more: bfloat16 cannot count them
MANY = (131, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FORMULA = {"value": "SH-1", "gradient": "SH-7"}
CAUSES = (
    alone("SH-4", identities="one"),  # no row has a negative
    alone("PW-2", identities="apart"),
    without("SH-3", far_negative),
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
    return pairs.build(LOSS, structure, parameters(structure, offer), seed, fill, pairs=True)


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    clause = pairs.blame(kind, needed, half) or ("SH-4" if "identities" in needed else None)
    return "SH-4" if clause == "CV-3" else clause  # the page has its own clause of its mean


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    return batches.legal(LOSS, offer)


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
