"""Joint loss (spec/joint.md): the weighted sum of three losses of this reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.batch_hard import batch_hard_triplet_loss
from lossproof.reference.center import center_loss
from lossproof.reference.cross_entropy import cross_entropy_loss
from lossproof.reference.inputs import as_weights, described
from lossproof.reference.terms import Loss, at, differentiable
from lossproof.reference.typing import Array
from lossproof.spec.arguments import check_as_wide, check_batch, check_classes, check_real


@differentiable
def joint_loss(
    logits: ArrayLike,
    embeddings: ArrayLike,
    labels: ArrayLike,
    centers: ArrayLike,
    *,
    triplet_weight: float = 1.0,
    center_weight: float = 5e-4,
    triplet_margin: float = 0.3,
    label_smoothing: float = 0.1,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cotangent: ArrayLike | None = None,
) -> Joint:
    """Return the joint loss of re-identification, in float64.

    ``cross_entropy + triplet_weight * batch_hard + center_weight * mean |x - c_y|^2``, each a mean of its own.

    Args:
        logits: rows of shape (B, K), of the dtype of the embeddings or a wider one.
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,) in [0, K).
        centers: one row for each class, (K, D), of the dtype of the embeddings or a wider one.
        triplet_weight: [0, inf).
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies the terms of
            its row in all three parts, and each mean divides by its own sum of them.
        cotangent: if given, a number: return the gradients too.

    Returns:
        The loss, of shape (); with `cotangent`, the pair of the loss and a dictionary of the gradients of
        ``cotangent * loss`` with respect to logits, embeddings and centers.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Kinks are those of the parts. Clauses JO-1 to JO-10, with CE-1, CE-2, BH-1, BH-2, CN-1; CV-1 to CV-46.
    Source: Luo et al. (2019), eq. 5.
    """
    check_real("triplet_weight", triplet_weight, 0)  # CV-28
    check_real("center_weight", center_weight, 0)
    check_real("triplet_margin", triplet_margin, 0)
    rows = described(logits=logits, embeddings=embeddings, centers=centers)
    check_batch("logits", *rows["logits"])  # CV-34
    check_as_wide("logits", rows["logits"][1], "embeddings", rows["embeddings"][1])  # CV-26
    units: Any = {"mask": mask, "weights": as_weights(weights, mask, embeddings=embeddings)}  # JO-10
    own = at(cross_entropy_loss, logits, labels, label_smoothing=label_smoothing, **units)  # JO-2
    triplet = at(batch_hard_triplet_loss, embeddings, labels, margin=triplet_margin, **units)  # JO-3
    check_classes("centers", rows["centers"][0], rows["logits"][0][1])  # JO-8
    pull = at(center_loss, embeddings, labels, centers, factor=1.0, **units)  # JO-4
    return Joint(own, triplet, pull, float(triplet_weight), float(center_weight))


@dataclass(frozen=True)
class Joint(Loss):
    """The three losses and their weights."""

    own: Loss
    triplet: Loss
    pull: Loss
    triplet_weight: float
    center_weight: float

    def value(self) -> Array:
        """Return the weighted sum: JO-1, JO-5."""
        own, triplet, pull = self.own.value(), self.triplet.value(), self.pull.value()
        return np.asarray(own + self.triplet_weight * triplet + self.center_weight * pull)

    def by_row(self) -> Array:
        """Return the weighted sum of what each row adds."""
        own, triplet, pull = self.own.by_row(), self.triplet.by_row(), self.pull.by_row()
        return np.asarray(own + self.triplet_weight * triplet + self.center_weight * pull)

    def gradients(self, cotangent: Array) -> dict[str, Array]:
        """Return the weighted sums of the gradients: JO-7."""
        own, triplet, pull = (loss.gradients(cotangent) for loss in (self.own, self.triplet, self.pull))
        return {
            "logits": own["logits"],
            "embeddings": self.triplet_weight * triplet["embeddings"] + self.center_weight * pull["embeddings"],
            "centers": self.center_weight * pull["centers"],
        }
