"""Formula of open-reid's triplet loss (Cysu/open-reid, reid/loss/triplet.py); its OIM loss stands in `oim`."""

from __future__ import annotations

from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS
from lossproof.conformance.peers.formulas.torchreid import hard_triplet_loss


def triplet_loss(inputs: Tensor, targets: Tensor, margin: float = 0.0) -> Tensor:
    """Return the loss that torchreid took over; here it has no margin unless one is given."""
    return hard_triplet_loss(inputs, targets, margin)


def hardest(embeddings: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Return the triplet loss with the page's names and default."""
    return triplet_loss(embeddings, labels, margin)


hard_triplet = formula("Cysu/open-reid", "TripletLoss", hardest, limits={"dtype": FORMATS}, grade="normwise")
