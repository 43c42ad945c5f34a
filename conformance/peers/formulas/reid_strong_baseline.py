"""Formulas of reid-strong-baseline (michuanhaohao/reid-strong-baseline, layers)."""

from __future__ import annotations

from torch import Tensor

from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.peers.formulas.pairs import FORMATS, alike, floored, ranked, softly
from lossproof.conformance.peers.formulas.softmax import smoothed

COMMIT = "3da7e6f"


def triplet_loss(global_feat: Tensor, labels: Tensor, margin: float | None = None) -> Tensor:
    """Return the mean over rows of [m + max d(a, p) - min d(a, n)]+, or of a soft margin where there is no margin.

    Positives, the anchor among them, and negatives are tables of as many numbers for each anchor; where the rows of
    the batch have not all as many, that raises.
    """
    distances, same = floored(global_feat), alike(labels)
    near = distances[same].reshape(len(labels), -1).max(dim=1).values
    far = distances[~same].reshape(len(labels), -1).min(dim=1).values
    return softly(near, far) if margin is None else ranked(near, far, margin)


def hardest(embeddings: Tensor, labels: Tensor, margin: float = 0.3, soft_margin: bool = False) -> Tensor:
    """Return the triplet loss; no margin is a soft margin."""
    return triplet_loss(embeddings, labels, None if soft_margin else margin)


def cross_entropy_label_smooth(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy with e/K; its own default is 0.1."""
    return smoothed(logits, labels, label_smoothing)


hard_triplet = Implementation(
    losses={"batch_hard_triplet_loss": hardest},
    name="formula of reid-strong-baseline TripletLoss",
    version=COMMIT,
    fixed={"distance": "euclidean", "floor": 1e-12, "include_self": True, "reduction": "mean"},
    limits={"dtype": FORMATS},
    grade="normwise",
)
cross_entropy = Implementation(
    losses={"cross_entropy_loss": cross_entropy_label_smooth},
    name="formula of reid-strong-baseline CrossEntropyLabelSmooth",
    version=COMMIT,
    fixed={"reduction": "mean"},
    limits={"dtype": ["float32"]},  # the targets are float32
)
