"""Cases of the circle loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.causes import alone, unit_rows, without
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.spec import losses

LOSS = "circle_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **batches.SPACE,
    "margin": (0.25, 0.4, -0.2, 0.0),
    "gamma": (8.0, 2.0, 32.0, 256.0, 80.1),
    "detach_weights": (True, False),
}
BASIC = {
    "shape": SPACE["shape"][:3],
    "dtype": SPACE["dtype"],
    "margin": SPACE["margin"][:2],
    "gamma": SPACE["gamma"][:2],
}
VARIED = ("detach_weights", "identities")  # options that the conventions are asked about
CONTROLLED = ("detach_weights",)
SMALLER_SHAPES = batches.SMALLER_SHAPES
MANY = (263, 2)  # rows of a large batch: each meets each; a prime, so that no block divides it
FEW_ROWS = ((5, 4), (4, 3))  # a term that is not 0 needs three rows


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with a scale that its dtype can hold."""
    s = dict(structure)
    if s["dtype"] in ("float16", "bfloat16") and abs(s["scale"]) > 4:
        s["scale"] = 0
    if s["dtype"] == "float32":
        s["scale"] = min(26, max(-26, s["scale"]))  # so that the product of two squared norms is a number
    return s


def parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options of the call: those that the function has."""
    return batches.given(structure, offer, OPTIONS)


def judged_parameters(structure: Structure, offer: Offer) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    return batches.judged(structure, offer, OPTIONS)


def build(structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
    """Fill a structure with numbers."""
    rng = generator(seed, {k: v for k, v in structure.items() if k not in ("mode", "order")}, fill)
    inputs = {"embeddings": batches.embeddings(structure, rng), "labels": batches.labels(structure, rng)}
    inputs |= batches.mask(structure, rng)
    order, weights = min(structure["order"], 1), batches.cotangent(structure, rng)
    return Case(LOSS, inputs, structure["dtype"], parameters(structure, offer), structure["mode"], order, weights)


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    clause = batches.blame(kind, needed, half)
    if clause:
        return clause
    if "detach_weights" in needed:
        return "CI-11" if gradient else "CI-1"
    if "scale" in needed:
        return "CI-12" if gradient else "CI-3"
    if needed.get("gamma", 0.0) >= 128.0:
        return "CI-7"
    if needed.get("identities") in ("one", "apart"):
        return "CI-13" if gradient else "CI-6"
    if "margin" in needed:
        return "CI-10" if gradient else "CI-4"
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    return batches.legal(LOSS, offer)


FORMULA = {"value": "CI-1", "gradient": "CI-10"}
CAUSES = (
    alone("CI-6", identities="one"),  # no row has a negative
    alone("CI-2", identities="apart"),
    without("CI-3", unit_rows),
    without("CI-4", margin=1.0),  # every weight is positive
    alone("CI-13", "gradient", identities="one"),
    alone("CI-13", "gradient", identities="apart"),
)
