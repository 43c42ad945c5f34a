"""Formulas of the contrastive losses of Hadsell, Chopra & LeCun, of Caffe and of chainer.

Caffe and chainer write their backward passes by hand, and so does this.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.peers.formulas.pairs import FORMATS


def hadsell(x1: Tensor, x2: Tensor, dissimilar: Tensor, margin: float = 1.0) -> Tensor:
    """Return the sum of (1 - Y) ½ d² + Y ½ [m - d]+² (equation 4 of the paper)."""
    distances: Tensor = torch.linalg.vector_norm(x1 - x2, dim=-1)
    y = dissimilar.to(distances)
    terms: Tensor = (1 - y) * distances.square() / 2 + y * (margin - distances).clamp(min=0).square() / 2
    return terms.sum()


class Pairs(torch.autograd.Function):
    """Both layers: ½ (y d² + (1 - y) [m - d]+²), or [m - d²]+ in the legacy version of Caffe's; y = 1 means alike."""

    @staticmethod
    def forward(ctx: Any, x0: Tensor, x1: Tensor, y: Tensor, margin: float, legacy: bool, layer: str) -> Tensor:
        """Return one number a pair."""
        differences = x0 - x1
        squares = differences.square().sum(dim=1)
        hinges = (margin - squares if legacy else margin - squares.sqrt()).clamp(min=0)
        ctx.save_for_backward(differences, squares.sqrt(), hinges, y)
        ctx.legacy, ctx.layer = legacy, layer
        return (y * squares + (1 - y) * (hinges if legacy else hinges.square())) / 2

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        """Return the difference for pairs alike; for others the slope of the hinge over d + 1e-4, or max(d, 1e-7)."""
        differences, distances, hinges, y = ctx.saved_tensors
        safe = distances + 1e-4 if ctx.layer == "caffe" else distances.clamp(min=1e-7)
        slopes = -(hinges > 0).to(hinges) if ctx.legacy else -hinges / safe
        gradient = (given[0] * torch.where(y != 0, 1.0, slopes))[:, None] * differences
        return gradient, -gradient, None, None, None, None


def caffe(x0: Tensor, x1: Tensor, y: Tensor, margin: float = 1.0, legacy_version: bool = False) -> Tensor:
    """Return the sum over the pairs, over their number and 2."""
    terms: Tensor = Pairs.apply(x0, x1, y, margin, legacy_version, "caffe")  # type: ignore[no-untyped-call]
    return terms.sum() / len(x0)


def chainer(x0: Tensor, x1: Tensor, y: Tensor, margin: float = 1.0, reduce: str = "mean") -> Tensor:
    """Return the terms, or their sum over their number; a margin of 0 and a batch of no pairs are errors."""
    if margin <= 0:
        raise ValueError("margin should be positive value.")
    if x0.shape != x1.shape or len(x0) != len(y) or not len(x0):
        raise TypeError("the shapes of the pairs must be one, (N, K) with a positive N, and y must have N numbers")
    terms: Tensor = Pairs.apply(x0, x1, y, margin, False, "chainer")  # type: ignore[no-untyped-call]
    return terms.sum() / len(x0) if reduce == "mean" else terms


def caffe_pairs(x1: Tensor, x2: Tensor, dissimilar: Tensor, margin: float = 1.0) -> Tensor:
    """Return the layer's loss of rows that have two axes there."""
    return caffe(_flat(x1), _flat(x2), (~dissimilar).reshape(-1).to(x1), margin)


def chainer_pairs(x1: Tensor, x2: Tensor, dissimilar: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Return the loss of chainer; its word for none is "no"."""
    word = {"none": "no"}.get(reduction, reduction)
    loss = chainer(_flat(x1), _flat(x2), (~dissimilar).reshape(-1).int(), margin, word)
    return loss.reshape(dissimilar.shape) if reduction == "none" else loss


def _flat(rows: Tensor) -> Tensor:
    return rows.reshape(-1, rows.shape[-1])


hadsell_contrastive = Implementation(
    losses={"contrastive_loss": hadsell},
    name="formula of Hadsell, Chopra & LeCun",
    version="2006",
    fixed={"distance": "p_norm", "p": 2.0, "eps": 0.0, "factor": 0.5, "reduction": "sum"},
    limits={"dtype": FORMATS},
)
caffe_contrastive = formula("ydwen/caffe-face", "ContrastiveLoss", caffe_pairs, limits={"dtype": FORMATS})
chainer_contrastive = formula(
    "chainer", "contrastive", chainer_pairs, limits={"dtype": FORMATS, "reduction": ["none", "mean"]}
)
