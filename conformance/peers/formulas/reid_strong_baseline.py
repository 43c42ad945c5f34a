"""Formulas of reid-strong-baseline (michuanhaohao/reid-strong-baseline, layers)."""

from __future__ import annotations

from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import alike, floored, ranked, softly
from lossproof.conformance.peers.formulas.softmax import smoothed


def triplet_loss(global_feat: Tensor, labels: Tensor, margin: float | None = None) -> Tensor:
    """Return the mean over rows of [m + max d(a, p) - min d(a, n)]+, or of a soft margin where there is no margin.

    Positives, the anchor among them, and negatives are tables of as many numbers for each anchor; where the rows of
    the batch have not all as many, that raises.
    """
    distances, same = floored(global_feat), alike(labels)
    near = distances[same].reshape(len(labels), -1).max(dim=1).values
    far = distances[~same].reshape(len(labels), -1).min(dim=1).values
    return softly(near, far) if margin is None else ranked(near, far, margin)


def cross_entropy_label_smooth(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy with e/K; its own default is 0.1."""
    return smoothed(logits, labels, label_smoothing)


REPOSITORY = "michuanhaohao/reid-strong-baseline"
cross_entropy = formula(  # the targets are float32
    REPOSITORY, "CrossEntropyLabelSmooth", cross_entropy_label_smooth, limits={"dtype": ["float32"]}
)
