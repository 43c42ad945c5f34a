"""Cases of the cross-entropy loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.structures import Structure, generator, open_rows
from lossproof.spec import losses

LOSS = "cross_entropy_loss"
OPTIONS = tuple(losses()[LOSS].parameters)

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **batches.SPACE,
    "shape": ((7, 2), (5, 4), (8, 3), (12, 5), (1, 3)),
    "reduction": ("none", "sum", "mean"),
    "label_smoothing": (0.0, 0.1, 0.75, 1.0, 0.005),
    "ruled_out": ("nothing", "others", "any"),  # which logits may be -inf: CE-7, CE-9
}
BASIC = {"shape": SPACE["shape"][:2], "dtype": SPACE["dtype"], "scale": (1, 3)}  # few shapes: each is compiled
VARIED = ("label_smoothing",)  # options that the conventions are asked about
CONTROLLED = ("label_smoothing",)  # options that a control case shares with a special one
SMALLER_SHAPES = ((1, 2), (2, 2), (2, 3), (1, 4))
unspecified = open_rows


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that contradict at their neutral values."""
    s = dict(structure)
    if s["ruled_out"] == "others" and s["label_smoothing"] != 0:
        s["ruled_out"] = "nothing"  # every class has a share of the target
    if s["dtype"] in ("float16", "bfloat16"):
        s["scale"] = min(s["scale"], 4)
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
    logits = batches.embeddings(structure, rng)
    labels = batches.labels(structure, rng, structure["shape"][1])
    if structure["ruled_out"] != "nothing":
        out = rng.random(logits.shape) < 0.4
        kept = rng.integers(logits.shape[1], size=len(out)) if structure["ruled_out"] == "any" else labels
        out[np.arange(len(out)), kept] = False  # one of the row is finite
        logits = np.where(out, -np.inf, logits)
    inputs = {"logits": logits, "labels": labels, **batches.mask(structure, rng)}
    return Case(
        LOSS, inputs, structure["dtype"], parameters(structure, offer), structure["mode"], min(structure["order"], 1),
        batches.cotangent(structure, rng),
    )  # fmt: skip


def blame(kind: str, needed: Mapping[str, Any], half: bool) -> str | None:
    """Return the clause that a failure speaks of, from the fields without which it goes away; None: the formula."""
    gradient = kind == "gradient"
    if "offset" in needed and not gradient and not {"mode", "mask"} & set(needed):
        return "CE-3"
    clause = batches.blame(kind, needed, half)
    if clause:
        return clause
    if "ruled_out" in needed:
        return "CE-8" if gradient else {"others": "CE-7", "any": "CE-9"}[needed["ruled_out"]]
    if "label_smoothing" in needed:
        return "CE-4" if gradient else "CE-5" if needed["label_smoothing"] == 1 else "CE-2"
    if "scale" in needed:
        return "CE-4" if gradient else "CE-3"
    if "dtype" in needed:
        return "CV-16" if gradient else "CV-15"
    return None


def legal(offer: Offer) -> Case:
    """Return a plain legal call, the sibling of every wrong one."""
    rows = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])
    dtype = offer.choices("dtype", ["float32", "float64"])[0]
    return Case(LOSS, {"logits": rows, "labels": np.array([0, 1, 0])}, dtype, {}, batches.legal_mode(offer), 0)


FORMULA = {"value": "CE-1", "gradient": "CE-4"}
ROW_CLAUSE = "CE-11"  # where a failure needs more than one row
