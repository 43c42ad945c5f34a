"""Joint loss (spec/joint.md): the weighted sum of three losses of this reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference import batch_hard, center, cross_entropy
from lossproof.reference.decisions import Place
from lossproof.reference.evaluation import Evaluation, described
from lossproof.reference.typing import Array
from lossproof.spec.arguments import check_as_wide, check_batch, check_classes, check_real


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
    cotangent: ArrayLike | None = None,
) -> Any:
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
        cotangent: if given, a number: return the gradients too.

    Returns:
        The loss, of shape (); with `cotangent`, the pair of the loss and a dictionary of the gradients of
        ``cotangent * loss`` with respect to logits, embeddings and centers.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Kinks are those of the parts. Clauses JO-1 to JO-9, with CE-1, CE-2, BH-1, BH-2, CN-1; CV-1 to CV-38.
    Source: Luo et al. (2019), eq. 5.
    """
    loss = evaluate(
        logits, embeddings, labels, centers, triplet_weight=triplet_weight, center_weight=center_weight,
        triplet_margin=triplet_margin, label_smoothing=label_smoothing, mask=mask,
    )  # fmt: skip
    if cotangent is None:
        return loss.value
    return loss.value, loss.vjp(np.asarray(cotangent))


def evaluate(
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
    overrides: Mapping[Place, Any] | None = None,
) -> Evaluation:
    """Return everything the judge asks about one call; `overrides` takes single decisions the other way."""
    check_real("triplet_weight", triplet_weight, 0)  # CV-28
    check_real("center_weight", center_weight, 0)
    check_real("triplet_margin", triplet_margin, 0)
    rows = described(logits=logits, embeddings=embeddings, centers=centers)
    check_batch("logits", *rows["logits"])  # CV-34
    check_as_wide("logits", rows["logits"][1], "embeddings", rows["embeddings"][1])  # CV-26
    own = cross_entropy.evaluate(logits, labels, label_smoothing=label_smoothing, mask=mask)  # JO-2
    triplet = batch_hard.evaluate(embeddings, labels, margin=triplet_margin, mask=mask, overrides=overrides)  # JO-3
    check_classes("centers", rows["centers"][0], rows["logits"][0][1])  # JO-8
    pull = center.evaluate(embeddings, labels, centers, factor=1.0, mask=mask)  # JO-4
    w_t, w_c = float(triplet_weight), float(center_weight)

    def total(part: str, seed: Array) -> dict[str, Array]:
        of_own, of_triplet, of_center = (getattr(loss, part)(seed) for loss in (own, triplet, pull))
        return {  # JO-7
            "logits": of_own["logits"],
            "embeddings": w_t * of_triplet["embeddings"] + w_c * of_center["embeddings"],
            "centers": w_c * of_center["centers"],
        }

    def vjp(cotangent: Array) -> dict[str, Array]:
        return total("vjp", cotangent)

    def vjp_scale(cotangent: Array) -> dict[str, Array]:
        return total("vjp_scale", cotangent)

    value = np.asarray(own.value + w_t * triplet.value + w_c * pull.value)  # JO-1, JO-5
    scale = np.asarray(own.scale + w_t * triplet.scale + w_c * pull.scale)
    return Evaluation(value, scale, vjp, vjp_scale, triplet.decisions)
