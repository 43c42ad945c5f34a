"""What the softmax losses share: cosines of rows and class weights, and the cross-entropy that follows a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cosines(embeddings: Tensor, class_weights: Tensor) -> Tensor:
    """Return the inner products of rows and class weights of unit length."""
    return functional.linear(functional.normalize(embeddings), functional.normalize(class_weights))


def entropy(logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Return the plain cross-entropy that follows a head where the head alone is judged."""
    terms = functional.cross_entropy(logits, labels.long(), reduction="none")
    return {"none": terms, "sum": terms.sum(), "mean": terms.sum() / max(len(terms), 1)}[reduction]


def smoothed(logits: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Return the cross-entropy with (1 - e) of the label and e/K of all K classes, in float32, averaged over rows."""
    targets = torch.zeros(logits.size()).scatter_(1, labels.unsqueeze(1), 1)
    targets = (1 - epsilon) * targets + epsilon / logits.shape[1]
    return (-targets * functional.log_softmax(logits, dim=1)).mean(0).sum()
