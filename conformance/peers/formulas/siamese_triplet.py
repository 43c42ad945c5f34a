"""Formulas of siamese-triplet (adambielski/siamese-triplet, losses.py)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS

EPS = 1e-9  # under the root of the dissimilar pairs


def contrastive_loss(
    output1: Tensor, output2: Tensor, target: Tensor, margin: float, size_average: bool = True
) -> Tensor:
    """Return ½ (y d² + (1 - y) [m - sqrt(d² + 1e-9)]+²) of the pairs, as their mean or sum; 1 means alike."""
    squares = (output2 - output1).square().sum(dim=1)
    hinges = functional.relu(margin - (squares + EPS).sqrt())
    terms = 0.5 * (target.float() * squares + (1 - target).float() * hinges.square())
    return terms.mean() if size_average else terms.sum()


def triplet_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, size_average: bool = True
) -> Tensor:
    """Return [d²(a, p) - d²(a, n) + m]+ of the triplets, as their mean or sum."""
    near, far = (anchor - positive).square().sum(dim=1), (anchor - negative).square().sum(dim=1)
    terms = functional.relu(near - far + margin)
    return terms.mean() if size_average else terms.sum()


def online_contrastive_loss(
    embeddings: Tensor, target: Tensor, margin: float, get_pairs: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Tensor:
    """Return the mean of d² of the positive pairs and of [m - d]+² of the negative ones that a selector gives."""
    positives, negatives = get_pairs(embeddings, target)
    near = (embeddings[positives[:, 0]] - embeddings[positives[:, 1]]).square().sum(dim=1)
    far = (embeddings[negatives[:, 0]] - embeddings[negatives[:, 1]]).square().sum(dim=1).sqrt()
    return torch.cat([near, functional.relu(margin - far).square()]).mean()


def given_pairs(x1: Tensor, x2: Tensor, dissimilar: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Return the contrastive loss; similar pairs have no 1e-9 there, which the setting of the page adds to them."""
    alike = (~dissimilar).reshape(-1)
    loss = contrastive_loss(_flat(x1), _flat(x2), alike.long(), margin, reduction == "mean")
    extra = 0.5 * EPS * alike.to(loss)
    return loss + (extra.mean() if reduction == "mean" else extra.sum())


def given_triplets(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Return the triplet loss of rows that have two axes there."""
    return triplet_loss(_flat(anchor), _flat(positive), _flat(negative), margin, reduction == "mean")


def selected_pairs(x1: Tensor, x2: Tensor, dissimilar: Tensor, margin: float = 1.0) -> Tensor:
    """Return the online loss with a selector that takes the pairs of the page."""
    rows, far = torch.cat([_flat(x1), _flat(x2)]), dissimilar.reshape(-1)
    pairs = torch.arange(len(rows)).reshape(2, -1).T
    return online_contrastive_loss(rows, far, margin, lambda _, chosen: (pairs[~chosen], pairs[chosen]))


def _flat(rows: Tensor) -> Tensor:
    return rows.reshape(-1, rows.shape[-1])


REPOSITORY, LIMITS = "adambielski/siamese-triplet", {"dtype": FORMATS, "reduction": ["sum", "mean"]}
contrastive = formula(REPOSITORY, "ContrastiveLoss", given_pairs, limits=LIMITS)
triplet = formula(REPOSITORY, "TripletLoss", given_triplets, limits=LIMITS)
online_contrastive = formula(REPOSITORY, "OnlineContrastiveLoss", selected_pairs, limits={"dtype": FORMATS})
