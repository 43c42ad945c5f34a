"""Rows and class weights at unit length: what the judge asks of the losses that share them."""

from __future__ import annotations

import numpy as np

from lossproof.reference.judged.decisions import Decisions
from lossproof.reference.terms import Terms, times
from lossproof.reference.typing import Array


def decide_zero(x_inverse: Array, w_inverse: Array, decisions: Decisions) -> None:
    """Record for each pair (B, C) whether one of the two is a zero row."""
    ones = np.ones((len(x_inverse), len(w_inverse)))
    for name, inverse in (("embedding", x_inverse[:, None]), ("class weight", w_inverse[None])):
        norm = np.where(inverse == 0, 0, 1) * ones
        decisions.take(f"the {name} is 0", norm > 0, norm, norm, (False, True))


def row_scales(
    found: Terms, cotangent: Array, size: Array, x: tuple[Array, Array], w: tuple[Array, Array]
) -> dict[str, Array]:
    """Return the error scales of the gradients, from those of the logits (B, C) times the scale of the loss."""
    (x_unit, x_inverse), (w_unit, w_inverse) = x, w
    sizes = np.abs(times(found.weights(), cotangent)[:, None]) * size
    to_x, to_w = (np.sum(sizes, axis=-1) * x_inverse)[:, None], (np.sum(sizes, axis=0) * w_inverse)[:, None]
    return {"embeddings": to_x * np.ones_like(x_unit), "class_weights": to_w * np.ones_like(w_unit)}
