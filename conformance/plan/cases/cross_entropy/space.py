"""Cases of the cross-entropy loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES, Array
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.blame import MODES, PRECISION, ROUNDING, UNITS, Blames, by_choice, reductions
from lossproof.conformance.plan.cases import batches, weighed_classes
from lossproof.conformance.plan.cases.structures import WEIGHTS, Structure, class_weights, open_rows
from lossproof.conformance.plan.contract import LossCases

LOSS = "cross_entropy_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    **batches.SPACE,
    "shape": ((7, 2), (5, 4), (8, 3), (12, 5), (1, 3)),
    "reduction": ("none", "sum", "mean"),
    "label_smoothing": (0.0, 0.1, 0.75, 1.0, 0.005),
    "class_weights": WEIGHTS,
    "ruled_out": ("nothing", "others", "any", "weightless"),  # which logits may be -inf: CE-7, CE-9, CE-16
}
BASIC = {"shape": SPACE["shape"][:2], "dtype": SPACE["dtype"], "scale": (1, 3)}  # few shapes: each is compiled

CLASS_WEIGHTS = weighed_classes.Clauses("CE-13", "CE-14", "CE-15", "CE-16", "CE-17", "CE-18")


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that contradict at their neutral values."""
    s = weighed_classes.normal(structure)
    if s["ruled_out"] == "others" and s["label_smoothing"] != 0:
        s["ruled_out"] = "nothing"  # every class has a share of the target
    if s["dtype"] in HALVES:
        s["scale"] = min(s["scale"], 4)
    return s


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    logits = batches.embeddings(structure, rng)
    labels = batches.labels(structure, rng, structure["shape"][1])
    weighed = class_weights(structure, rng)
    if structure["ruled_out"] != "nothing":
        out = rng.random(logits.shape) < 0.4
        kept = rng.integers(logits.shape[1], size=len(out)) if structure["ruled_out"] == "any" else labels
        if structure["ruled_out"] == "weightless":
            out, kept = out & (weighed["class_weights"] == 0), rng.integers(logits.shape[1], size=len(out))
        out[np.arange(len(out)), kept] = False  # one of the row is finite
        logits = np.where(out, -np.inf, logits)
    return {"logits": logits, "labels": labels, **weighed}


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("label_smoothing",),
    controlled=("label_smoothing",),
    smaller_shapes=((1, 2), (2, 2), (2, 3), (1, 4)),
    inputs=inputs,
    legal_inputs={"logits": batches.LEGAL["embeddings"], "labels": batches.LEGAL["labels"]},
    formula={"value": "CE-1", "gradient": "CE-4"},
    blames=(
        *MODES,
        *CLASS_WEIGHTS.blames(),
        *UNITS,
        Blames("offset", "CE-3"),
        *ROUNDING,
        *reductions(),
        *by_choice("ruled_out", {"others": ("CE-7", "CE-8"), "any": ("CE-9", "CE-8")}),
        Blames("label_smoothing", "CE-5", "CE-4", among=(1.0,)),
        Blames("label_smoothing", "CE-2", "CE-4"),
        Blames("scale", "CE-3", "CE-4"),
        PRECISION,
    ),
    normal=normal,
    row_clause="CE-11",
    unspecified=open_rows,
    vectorised=False,
)
