"""CosFace loss (spec/cosface.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.class_weights import by_inverse, unit_rows
from lossproof.reference.cross_entropy import cross_entropy
from lossproof.reference.inputs import as_batch, as_rows, as_weights, described, weighing
from lossproof.reference.terms import Terms, differentiable
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_label_range, check_real, check_table


@differentiable
def cosface_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    class_weights: ArrayLike,
    *,
    scale: float = 64.0,
    margin: float = 0.35,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> CosFace:
    """Return the CosFace loss of rows, in float64.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * (cos(theta_y) - margin)`` for the label y, where theta_j
    is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), any float dtype and length.
        labels: integers of shape (B,) in [0, C).
        class_weights: rows of shape (C, D), of the dtype of the embeddings or a wider one, any length.
        scale: [0, inf).
        margin: in the unit of the cosine, [0, inf).
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a zero row has cosine 0 and gives and gets no gradient. Clauses CF-1 to CF-10, CE-1, CE-3, CE-4,
    CV-1 to CV-46. Source: Wang et al. (2018), eq. 4.
    """
    check_real("scale", scale, 0)
    check_real("margin", margin, 0)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    of_units = as_weights(weights, mask, embeddings=embeddings)
    labels, takes_part, x = as_batch(labels, weighing(of_units, mask), embeddings=embeddings)
    tables = described(class_weights=class_weights, embeddings=embeddings)
    check_table("class_weights", *tables["class_weights"], "embeddings", x.shape[1], tables["embeddings"][1])
    (w,) = as_rows(class_weights=class_weights)
    if labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), 0, len(w) - 1)  # CV-33
    s, m = (w.dtype.type(number) for number in (scale, margin))

    (x_unit, x_inverse), (w_unit, w_inverse) = unit_rows(x), unit_rows(w)  # CF-2
    zero = (x_inverse == 0)[:, None] | (w_inverse == 0)  # CF-4
    cosine = x_unit @ w_unit.T
    own = labels[:, None] == np.arange(len(w))
    logits = s * np.where(own, cosine - m, cosine)  # CF-1, CF-3
    found = cross_entropy(logits, labels, 0.0, takes_part, reduction, of_units)
    rest = np.sum(np.where(own, 0, found.probability), axis=-1)
    rows, classes = (x_unit, x_inverse), (w_unit, w_inverse)
    return CosFace(
        found.terms,
        takes_part,
        reduction,
        s,
        m,
        rows,
        classes,
        zero,
        cosine,
        own,
        found.probability,
        found.surprise,
        rest,
        unit_weights=of_units,
    )


@dataclass(frozen=True)
class CosFace(Terms):
    """The terms of rows against the weights of the classes."""

    scale: Array
    margin: Array
    x: tuple[Array, Array]  # unit rows and the inverse of their norms
    w: tuple[Array, Array]
    zero: Array  # (B, C), where one of the two is a zero row
    cosine: Array  # (B, C)
    own: Array  # (B, C), the class of the label
    probability: Array  # (B, C), p
    surprise: Array  # (B, C), -log p
    rest: Array  # (B,), 1 - p_y

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Carry the gradient of the terms to the logits, to cosines, and on to the rows."""
        (x_unit, x_inverse), (w_unit, w_inverse) = self.x, self.w
        to_cosine = w[:, None] * self.scale * np.where(self.own, -self.rest[:, None], self.probability)  # CE-4
        to_cosine = np.where(self.zero, 0, to_cosine)[..., None]  # CF-8
        to_x = np.sum(to_cosine * (w_unit - self.cosine[..., None] * x_unit[:, None]), axis=1)  # CF-6, CF-7
        to_w = np.sum(to_cosine * (x_unit[:, None] - self.cosine[..., None] * w_unit), axis=0)
        to_x = np.where((self.weights() == 0)[:, None], 0, by_inverse(to_x, x_inverse))
        return {"embeddings": to_x, "class_weights": by_inverse(to_w, w_inverse)}
