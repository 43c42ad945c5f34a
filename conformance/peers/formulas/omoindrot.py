"""Formulas of omoindrot/tensorflow-triplet-loss (model/triplet_loss.py)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS, alike

TINY = 1e-16
SQUARED = {"euclidean": False, "squared_euclidean": True}


def pairwise_distances(embeddings: Tensor, squared: bool = False) -> Tensor:
    """Return x² - 2xy + y² of all pairs, 0 at least, or its root, which is 0 without gradient where that is 0."""
    products = embeddings @ embeddings.T
    norms = products.diagonal()
    squares = (norms[:, None] - 2 * products + norms).clamp(min=0)
    if squared:
        return squares
    zero = (squares == 0).to(squares)
    return (squares + zero * TINY).sqrt() * (1 - zero)


def batch_all_triplet_loss(labels: Tensor, embeddings: Tensor, margin: float, squared: bool = False) -> Tensor:
    """Return the mean over the triplets whose hinge is above 1e-16, and 0 where there is none."""
    distances, same = pairwise_distances(embeddings, squared), alike(labels)
    others = ~torch.eye(len(labels), dtype=torch.bool)
    valid = ((same & others)[:, :, None] & ~same[:, None, :]).to(distances)
    terms = (valid * (distances[:, :, None] - distances[:, None, :] + margin)).clamp(min=0)
    return terms.sum() / ((terms > TINY).sum() + TINY)


def batch_hard_triplet_loss(labels: Tensor, embeddings: Tensor, margin: float, squared: bool = False) -> Tensor:
    """Return the mean over all rows: no positive counts as 0, no negative as the largest distance of the row."""
    distances, same = pairwise_distances(embeddings, squared), alike(labels)
    positive = (same & ~torch.eye(len(labels), dtype=torch.bool)).to(distances)
    near = (positive * distances).amax(dim=1)
    far = (distances + distances.amax(dim=1, keepdim=True) * same.to(distances)).amin(dim=1)
    return (near - far + margin).clamp(min=0).mean()


def every(embeddings: Tensor, labels: Tensor, margin: float = 1.0, distance: str = "euclidean") -> Tensor:
    """Return the batch-all loss with the page's names."""
    return batch_all_triplet_loss(labels, embeddings, margin, SQUARED[distance])


def hardest(embeddings: Tensor, labels: Tensor, margin: float = 0.3, distance: str = "euclidean") -> Tensor:
    """Return the batch-hard loss as a sum: its mean is over all rows."""
    return len(labels) * batch_hard_triplet_loss(labels, embeddings, margin, SQUARED[distance])


REPOSITORY, LIMITS = "omoindrot/tensorflow-triplet-loss", {"dtype": FORMATS, "distance": list(SQUARED)}
batch_all = formula(REPOSITORY, "batch_all_triplet_loss", every, limits=LIMITS, grade="normwise")
batch_hard = formula(REPOSITORY, "batch_hard_triplet_loss", hardest, limits=LIMITS, grade="normwise")
