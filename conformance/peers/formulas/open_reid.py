"""Formula of open-reid's triplet loss (Cysu/open-reid, reid/loss/triplet.py); its OIM loss stands in `oim`."""

from __future__ import annotations

from torch import Tensor

from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.peers.formulas.pairs import FORMATS
from lossproof.conformance.peers.formulas.torchreid import hard_triplet_loss


def triplet_loss(inputs: Tensor, targets: Tensor, margin: float = 0.0) -> Tensor:
    """Return the loss that torchreid took over; here it has no margin unless one is given."""
    return hard_triplet_loss(inputs, targets, margin)


def hardest(inputs: Tensor, targets: Tensor, margin: float = 0.3) -> Tensor:
    """Return the triplet loss with the page's default."""
    return triplet_loss(inputs, targets, margin)


hard_triplet = Implementation(
    losses={"batch_hard_triplet_loss": hardest},
    name="formula of open-reid TripletLoss",
    version="3293ca7",
    rename={"inputs": "embeddings", "targets": "labels"},
    fixed={"distance": "euclidean", "floor": 1e-12, "include_self": True, "reduction": "mean"},
    limits={"dtype": FORMATS},
    grade="normwise",
)
