"""Formula of the circle loss with one softplus a batch (TinyZeaMays/CircleLoss, circle_loss.py, commit d002ecd)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lossproof.conformance.peers.formulas.pairs import alike


def convert_label_to_similarity(normed_feature: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inner products of the positive pairs and of the negative ones, each pair once."""
    products, same = normed_feature @ normed_feature.T, alike(label)
    return products[same.triu(diagonal=1)], products[(~same).triu(diagonal=1)]


def circle_loss(sp: Tensor, sn: Tensor, m: float, gamma: float) -> Tensor:
    """Return log(1 + sum over the negatives · sum over the positives) of the whole batch, with detached weights."""
    weights_p, weights_n = (1 + m - sp.detach()).clamp(min=0), (sn.detach() + m).clamp(min=0)
    exponents_p = -weights_p * (sp - (1 - m)) * gamma
    exponents_n = weights_n * (sn - m) * gamma
    return functional.softplus(exponents_n.logsumexp(dim=0) + exponents_p.logsumexp(dim=0))
