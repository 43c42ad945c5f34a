"""Formulas of fast-reid's softmax heads and its cross-entropy (JDAI-CV/fast-reid, layers/any_softmax.py and losses)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.fast_reid import REPOSITORY
from lossproof.conformance.peers.formulas.pairs import FORMATS
from lossproof.conformance.peers.formulas.softmax import cosines, entropy


def cos_softmax(logits: Tensor, targets: Tensor, s: float, m: float) -> Tensor:
    """Return s (cos - m) for the label, s cos elsewhere; a target of -1 has no margin."""
    return (logits - _at(logits, targets, m)) * s


def arc_softmax(logits: Tensor, targets: Tensor, s: float, m: float) -> Tensor:
    """Return s cos(arccos(cos) + m) for the label, and s cos(arccos(cos)) elsewhere: nothing is clamped."""
    return torch.cos(torch.acos(logits) + _at(logits, targets, m)) * s


def _at(logits: Tensor, targets: Tensor, m: float) -> Tensor:
    rows = torch.where(targets != -1)[0]
    margins = torch.zeros(len(rows), logits.shape[1], dtype=logits.dtype).scatter(1, targets[rows, None], m)
    return torch.zeros_like(logits).index_copy(0, rows, margins)


def cross_entropy_loss(pred_class_outputs: Tensor, gt_classes: Tensor, eps: float, alpha: float = 0.2) -> Tensor:
    """Return the cross-entropy with 1 - e of the label and e/(K - 1) of each other class.

    The sum is divided by the number of rows whose term is not 0. With e < 0 it is alpha times the probability of the
    label, row by row.
    """
    given = gt_classes.unsqueeze(1)
    share: float | Tensor = eps
    if eps < 0:
        share = alpha * functional.softmax(pred_class_outputs, dim=1).gather(1, given).detach()
    costs = -functional.log_softmax(pred_class_outputs, dim=1)
    targets = torch.ones_like(costs) * (share / (pred_class_outputs.shape[1] - 1))
    targets = targets.scatter(1, given, (1 - share) if isinstance(share, float) else (1 - share).expand_as(given))
    terms = (targets * costs).sum(dim=1)
    return terms.sum() / max(len(terms.detach().nonzero()), 1)


def cosface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    scale: float = 64.0,
    margin: float = 0.35,
    reduction: str = "mean",
) -> Tensor:
    """Return the plain cross-entropy of the head CosSoftmax, with the page's defaults."""
    logits = cos_softmax(cosines(embeddings, class_weights), labels, scale, margin)
    return entropy(logits, labels, reduction)


def arcface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """Return the plain cross-entropy of the head ArcSoftmax, with the page's defaults."""
    logits = arc_softmax(cosines(embeddings, class_weights), labels, scale, margin)
    return entropy(logits, labels, reduction)


def smoothed_over_others(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy; what the page smooths over all K classes is (K - 1)/K of that over the others."""
    classes = logits.shape[1]
    return cross_entropy_loss(logits, labels, label_smoothing * (classes - 1) / classes)


LIMITS = {"dtype": FORMATS}
cos_head = formula(REPOSITORY, "CosSoftmax", cosface, limits=LIMITS)
arc_head = formula(REPOSITORY, "ArcSoftmax", arcface, limits=LIMITS)
cross_entropy = formula(REPOSITORY, "CrossEntropyLoss", smoothed_over_others, limits=LIMITS)
