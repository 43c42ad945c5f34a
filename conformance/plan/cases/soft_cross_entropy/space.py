"""Cases of the soft cross-entropy loss: its space of structures, and which clause a field blames."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES, Array, rounded
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.blame import MODES, PRECISION, ROUNDING, UNITS, Blames, by_choice, reductions
from lossproof.conformance.plan.cases import batches, weighed_classes
from lossproof.conformance.plan.cases.structures import WEIGHTS, Structure, class_weights, open_rows
from lossproof.conformance.plan.contract import LossCases

LOSS = "soft_cross_entropy_loss"

# Every field with its choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((7, 2), (5, 4), (8, 3), (12, 5), (1, 3)),
    "dtype": batches.SPACE["dtype"],
    "targets": ("probabilities", "one", "two", "equal", "any sum", "some nothing"),
    **{name: batches.SPACE[name] for name in ("mask", "weights")},
    "reduction": ("none", "sum", "mean"),
    "label_smoothing": (0.0, 0.1, 0.75, 1.0, 0.005),
    "class_weights": WEIGHTS,
    "ruled_out": ("nothing", "others", "any", "weightless"),  # which logits may be -inf: ST-9, ST-11, ST-20
    **{name: batches.SPACE[name] for name in ("scale", "offset", "mode", "order")},
}
BASIC = {  # few shapes: each is compiled
    "shape": SPACE["shape"][:2],
    "dtype": SPACE["dtype"],
    "targets": SPACE["targets"][:3],
    "scale": (1, 3),
}

CLASS_WEIGHTS = weighed_classes.Clauses("ST-17", "ST-18", "ST-19", "ST-20", "ST-21", "ST-22")


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that contradict at their neutral values."""
    s = weighed_classes.normal(structure)
    if s["ruled_out"] == "others" and s["label_smoothing"] != 0:
        s["ruled_out"] = "nothing"  # every class has a share of the target
    if s["dtype"] in HALVES:
        s["scale"] = min(s["scale"], 3)
    return s


def inputs(structure: Structure, rng: np.random.Generator) -> dict[str, Array]:
    """Fill a structure with numbers."""
    logits, shares = batches.embeddings(structure, rng), targets(structure, rng)
    weighed = class_weights(structure, rng)
    if structure["ruled_out"] != "nothing":
        out = rng.random(logits.shape) < 0.4
        out &= structure["ruled_out"] != "weightless" or weighed["class_weights"] == 0
        out[np.arange(len(out)), rng.integers(logits.shape[1], size=len(out))] = False  # one of the row is finite
        logits = np.where(out, -np.inf, logits)
        shares = np.where(out & (structure["ruled_out"] == "others"), 0.0, shares)
    return {"logits": logits, "targets": shares, **weighed}


def targets(structure: Structure, rng: np.random.Generator) -> Array:
    """Return the targets of a structure, in its dtype."""
    (count, classes), kind = structure["shape"], structure["targets"]
    found = rng.uniform(0.05, 1.0, (count, classes))
    if kind in ("one", "two"):  # the label of a row, or two of them, mixed
        kept = np.arange(classes) < (1 if kind == "one" else 2)
        found = np.where(rng.permuted(np.broadcast_to(kept, found.shape), axis=1), found, 0.0)
    if kind == "equal":
        found = np.ones_like(found)
    found = found / found.sum(axis=1, keepdims=True)
    if kind in ("any sum", "some nothing"):
        found = found * 2.0 ** rng.integers(-4, 5, (count, 1)) * rng.uniform(1.0, 2.0, (count, 1))
    if kind == "some nothing":
        found = np.where(rng.random((count, 1)) < 0.5, 0.0, found)
    return rounded(found, structure["dtype"])


CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=("label_smoothing", "targets"),
    controlled=("label_smoothing",),
    smaller_shapes=((1, 2), (2, 2), (2, 3), (1, 4)),
    inputs=inputs,
    legal_inputs={
        "logits": batches.LEGAL["embeddings"],
        "targets": np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 1.0]]),
    },
    formula={"value": "ST-1", "gradient": "ST-5"},
    blames=(
        *MODES,
        *CLASS_WEIGHTS.blames(),
        *UNITS,
        Blames("offset", "ST-4"),
        *ROUNDING,
        *reductions(),
        *by_choice("ruled_out", {"others": ("ST-9", "ST-10"), "any": ("ST-11", "ST-10")}),
        Blames("label_smoothing", "ST-7", among=(1.0,)),
        Blames("label_smoothing", "ST-3"),
        Blames("targets", "ST-2", among=("any sum", "some nothing")),
        Blames("scale", "ST-4"),
        PRECISION,
    ),
    gradient_of={"targets": "ST-6"},
    normal=normal,
    row_clause="ST-13",
    unspecified=open_rows,
    vectorised=False,
)
