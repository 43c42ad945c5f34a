"""Formulas of torchreid (KaiyangZhou/deep-person-reid, torchreid/losses)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS, alike, floored, ranked
from lossproof.conformance.peers.formulas.softmax import smoothed


def hard_triplet_loss(inputs: Tensor, targets: Tensor, margin: float = 0.3) -> Tensor:
    """Return the mean over rows of [m + max d(a, p) - min d(a, n)]+, each row one of its own positives.

    The smallest distance of an anchor without a negative is that of no numbers, which raises.
    """
    distances, same = floored(inputs), alike(targets)
    near = torch.stack([row[mask].max() for row, mask in zip(distances, same, strict=True)])
    far = torch.stack([row[~mask].min() for row, mask in zip(distances, same, strict=True)])
    return ranked(near, far, margin)


def hardest(embeddings: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Return the triplet loss with the page's names."""
    return hard_triplet_loss(embeddings, labels, margin)


def cross_entropy_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy with e/K; its own default is 0.1, and 0 where it is told not to smooth."""
    return smoothed(logits, labels, label_smoothing)


REPOSITORY = "KaiyangZhou/deep-person-reid"
hard_triplet = formula(REPOSITORY, "TripletLoss", hardest, limits={"dtype": FORMATS}, grade="normwise")
cross_entropy = formula(  # the targets are float32
    REPOSITORY, "CrossEntropyLoss", cross_entropy_loss, limits={"dtype": ["float32"]}
)
