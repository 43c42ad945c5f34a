"""Formulas of fast-reid's losses of pairs (JDAI-CV/fast-reid, fastreid/modeling/losses)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS, MARGINS, alike, floored, ranked, softly

REPOSITORY = "JDAI-CV/fast-reid"
FAR = 1e9  # the distance of a positive where negatives are compared
NEVER = -99999999.0  # added to the exponent of a pair that does not take part


def triplet_loss(
    embedding: Tensor, targets: Tensor, margin: float = 0.3, norm_feat: bool = False, hard_mining: bool = False
) -> Tensor:
    """Return the mean over all rows of [m + d(a, p) - d(a, n)]+, of the hardest rows or of means weighted by softmax.

    With `norm_feat` d is 2 - 2 cos. A margin of 0 and below is a soft margin; where that overflows, a hinge of 0.3.
    """
    if norm_feat:
        units = functional.normalize(embedding, dim=1)
        distances = 2 - 2 * units @ units.T
    else:
        distances = floored(embedding)
    positive = alike(targets).float()
    negative = 1 - positive
    if hard_mining:
        near = (distances * positive).max(dim=1).values
        far = (distances * negative + FAR * positive).min(dim=1).values
    else:
        near = _weighted(distances * positive, positive)
        far = _weighted(distances * negative, negative, sign=-1)
    if margin > 0:
        return ranked(near, far, margin)
    loss = softly(near, far)
    return ranked(near, far, 0.3) if loss == float("inf") else loss


def _weighted(distances: Tensor, mask: Tensor, sign: int = 1) -> Tensor:
    """Return the means of the rows with the weights exp(±d - max), where the maximum is over the masked zeros too."""
    exponents = sign * distances
    powers = torch.exp(exponents - (exponents * mask).max(dim=1, keepdim=True).values) * mask
    return (distances * powers / (powers.sum(dim=1, keepdim=True) + 1e-6)).sum(dim=1)


def pairwise_circleloss(embedding: Tensor, targets: Tensor, margin: float = 0.25, gamma: float = 128.0) -> Tensor:
    """Return the mean over all rows of the circle loss of unit rows, with detached weights."""
    units = functional.normalize(embedding, dim=1)
    cosines, same = units @ units.T, alike(targets).float()
    positive, negative = same - torch.eye(len(same)), 1 - same
    near, far = cosines * positive, cosines * negative
    weight_near = (1 + margin - near.detach()).clamp(min=0)
    weight_far = (far.detach() + margin).clamp(min=0)
    exponents_near = -gamma * weight_near * (near - (1 - margin)) + NEVER * (1 - positive)
    exponents_far = gamma * weight_far * (far - margin) + NEVER * (1 - negative)
    return functional.softplus(exponents_near.logsumexp(dim=1) + exponents_far.logsumexp(dim=1)).mean()


def hardest(embeddings: Tensor, labels: Tensor, margin: float = 0.3, soft_margin: bool = False) -> Tensor:
    """Return the sum over rows of the hard triplet loss: its mean is over all, the page's leaves some rows out."""
    return len(labels) * triplet_loss(embeddings, labels, 0.0 if soft_margin else margin, hard_mining=True)


def hardest_of_unit_rows(embeddings: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Return the same of unit rows, whose distance is twice that of the page."""
    mean = triplet_loss(embeddings, labels, 2 * margin, norm_feat=True, hard_mining=True)
    return len(labels) * mean / 2


def circle(embeddings: Tensor, labels: Tensor, margin: float = 0.25, gamma: float = 256.0) -> Tensor:
    """Return the circle loss with the page's defaults."""
    return pairwise_circleloss(embeddings, labels, margin, gamma)


LIMITS = {"margin": MARGINS, "dtype": FORMATS}
hard_triplet = formula(REPOSITORY, "TripletLoss", hardest, limits=LIMITS, grade="normwise", hard_mining=True)
hard_triplet_of_unit_rows = formula(
    REPOSITORY, "TripletLoss with NORM_FEAT", hardest_of_unit_rows, limits=LIMITS, hard_mining=True
)
circle_loss = formula(REPOSITORY, "CircleLoss", circle, limits={"dtype": FORMATS})
