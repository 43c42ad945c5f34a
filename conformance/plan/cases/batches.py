"""What the cases of the losses of a batch share: rows (B, D) with labels.

A loss of a batch has a shape (B, D), one label a row, and no meaning for a stack of calls; its page has
`unit = "anchor"` or "row". `identities` says how the labels fall: about three rows each, one identity, all different,
or two identities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.plan.cases.structures import WEIGHTS, Structure

SPACE: dict[str, tuple[Any, ...]] = {
    "shape": ((7, 2), (5, 4), (8, 3), (12, 5), (1, 3)),
    "dtype": ("float64", "float32"),
    "identities": ("few", "one", "apart", "many rows"),
    "mask": (None, "some"),
    "weights": WEIGHTS,
    "reduction": ("none", "sum", "mean", "mean_nonzero"),
    "scale": (0,),  # rows times 2**scale
    "offset": (0.0,),
    "mode": (),  # the implementation's first
    "order": (1,),
}
SMALLER_SHAPES = ((1, 1), (2, 1), (3, 1), (3, 2), (4, 2), (5, 2))
LEGAL = {  # three rows of two identities: the sibling of every wrong call
    "embeddings": np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]),
    "labels": np.array([0, 1, 0]),
}


def embeddings(structure: Structure, rng: np.random.Generator) -> Array:
    """Return rows of a few sizes around the offset, which the dtype of the structure holds."""
    shape, unit = structure["shape"], 2.0 ** structure["scale"]
    size = unit * rng.choice([0.25, 0.5, 1.0], size=(shape[0], 1))
    return rounded(structure["offset"] + size * rng.standard_normal(shape), structure["dtype"])


MANY = 64  # classes of a table, from which on labels are spread over it


def labels(structure: Structure, rng: np.random.Generator, classes: int | None = None) -> Array:
    """Return labels of the rows, below `classes` where they index a table."""
    count = structure["shape"][0]
    if structure["identities"] == "one":
        return np.full(count, 0 if classes == 1 else 1, np.int64)
    if structure["identities"] == "apart":
        return np.asarray(rng.permutation(count) % (classes or count or 1))
    few = max(2, count // 3) if structure["identities"] == "few" else 2
    drawn = np.asarray(rng.integers(0, min(few, classes or few), size=count))
    if classes is None or classes < MANY:
        return drawn
    return drawn * (classes - 1) // (min(few, classes) - 1)  # the last class of a large table is met, too
