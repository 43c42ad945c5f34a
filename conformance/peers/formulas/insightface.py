"""Formulas of insightface's torch margins (deepinsight/insightface, recognition/arcface_torch/losses.py)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS
from lossproof.conformance.peers.formulas.softmax import cosines, entropy


def arc_face(logits: Tensor, labels: Tensor, s: float = 64.0, margin: float = 0.5) -> Tensor:
    """Return s cos(arccos(cos) + m) for the label and s cos elsewhere; a label of -1 has no margin.

    The angle is taken and moved without a gradient, so that of a logit is s, as if there were no margin.
    """
    moved = logits.clone()
    with torch.no_grad():
        rows = torch.where(labels != -1)[0]
        angles = logits.arccos()
        angles[rows, labels[rows]] += margin
        moved.copy_(angles.cos())
    return moved * s


def combined_margin(logits: Tensor, labels: Tensor, s: float, m1: float, m2: float, m3: float) -> Tensor:
    """Return the logits of ArcFace where m1 = 1 and m3 = 0, and of CosFace where m3 > 0, whatever m1 and m2 are."""
    if m1 == 1.0 and m3 == 0.0:
        return arc_face(logits, labels, s, m2)
    if m3 <= 0:
        raise RuntimeError("No active exception to reraise")
    rows = torch.where(labels != -1)[0]
    margins = torch.zeros_like(logits)
    margins[rows, labels[rows]] = m3
    return (logits - margins) * s


def arcface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross-entropy of ArcFace, of cosines within [-1, 1] as PartialFC has them."""
    logits = arc_face(cosines(embeddings, class_weights).clamp(-1, 1), labels, scale, margin)
    return entropy(logits, labels, reduction)


def cosface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    scale: float = 64.0,
    margin: float = 0.35,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross-entropy of CombinedMarginLoss with m3 alone; with m3 = 0 it is ArcFace, here with m2 = 0."""
    logits = combined_margin(cosines(embeddings, class_weights).clamp(-1, 1), labels, scale, 1.0, 0.0, margin)
    return entropy(logits, labels, reduction)


REPOSITORY, LIMITS = "deepinsight/insightface", {"dtype": FORMATS}
arc = formula(REPOSITORY, "ArcFace", arcface, limits=LIMITS)
combined = formula(REPOSITORY, "CombinedMarginLoss with m3", cosface, limits=LIMITS)
