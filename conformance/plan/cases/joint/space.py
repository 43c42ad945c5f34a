"""Cases of the joint loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.causes import one_identity, two_identities, without
from lossproof.conformance.plan.cases.structures import COTANGENTS, Structure, generator
from lossproof.spec import losses

LOSS = "joint_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((7, 2), (5, 4), (8, 3), (1, 3)),
    "dtype": batches.SPACE["dtype"],
    "identities": ("few", "one", "apart"),
    "classes": (3, 5),
    "mask": batches.SPACE["mask"],
    "triplet_weight": (1.0, 0.0, 0.5),
    "center_weight": (0.5, 0.0, 5e-4),
    "triplet_margin": (0.3, 1.0),
    "label_smoothing": (0.1, 0.0),
    **{name: batches.SPACE[name] for name in ("scale", "offset", "mode", "order")},
}
BASIC = {"shape": SPACE["shape"][:2], "dtype": SPACE["dtype"]}  # few shapes: each is compiled
VARIED = ("triplet_weight",)  # options that the conventions are asked about
CONTROLLED: tuple[str, ...] = ()  # options that a control case shares with a special one
SMALLER_SHAPES = ((1, 1), (3, 1), (3, 2), (4, 2))
MANY = (263, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FEW_ROWS = ((7, 2), (5, 4))


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure as it is: no options contradict."""
    return dict(structure)


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call: those that the function has."""
    return batches.given(structure, offer, OPTIONS)


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return batches.judged(structure, offer, OPTIONS)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    (count, width), classes, dtype = structure["shape"], structure["classes"], structure["dtype"]
    inputs = {
        "logits": rounded(2 * rng.standard_normal((count, classes)), dtype),
        "embeddings": batches.embeddings(structure, rng),
        "labels": batches.labels(structure, rng, classes),
        "centers": rounded(structure["offset"] + 0.5 * rng.standard_normal((classes, width)), dtype),
        **batches.mask(structure, rng),
    }
    order, cotangent = min(structure["order"], 1), np.asarray(rng.choice(COTANGENTS))
    return Case(LOSS, inputs, dtype, parameters(structure, offer), structure["mode"], order, cotangent)


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    clause = batches.blame(kind, needed, half)
    if clause:
        return clause
    if kind == "gradient":
        return "CV-16" if "dtype" in needed else None
    for name, blamed in (("label_smoothing", "JO-2"), ("triplet_margin", "JO-3"), ("identities", "JO-5")):
        if name in needed:
            return blamed
    return "CV-15" if "dtype" in needed else None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    logits, centers = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]), np.array([[0.5, 0.5], [1.0, -1.0]])
    plain = batches.legal(LOSS, offer, centers=centers)
    inputs = {"logits": logits, **plain.inputs}
    return Case(LOSS, inputs, plain.dtype, {}, plain.mode, 0)


def terms_shape(case: Case) -> tuple[int, ...]:
    """Return the shape of the loss: it is one number."""
    return ()


FORMULA = {"value": "JO-1", "gradient": "JO-7"}
CAUSES = (
    without("JO-5", two_identities),  # every row is in a triplet, so that all denominators are alike
    without("JO-2", label_smoothing=0.0),
    without("JO-4", center_weight=0.0),
    without("JO-3", one_identity),  # no triplet: what is wrong still is the weights
)
