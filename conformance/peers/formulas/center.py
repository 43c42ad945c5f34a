"""Formulas of two center losses: of the paper's authors in Caffe, and the torch module that others took over."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FLOOR, FORMATS

CEILING = 1e12


def torch_center_loss(x: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Return the sum of all B x C squared distances over B, each kept within [1e-12, 1e12], 0 of another class too.

    KaiyangZhou/pytorch-center-loss, and layers/center_loss.py of michuanhaohao/reid-strong-baseline.
    """
    squares = x.square().sum(dim=1, keepdim=True) + centers.square().sum(dim=1) - 2 * x @ centers.T
    own = labels[:, None] == torch.arange(len(centers))
    return (squares * own.float()).clamp(min=FLOOR, max=CEILING).sum() / len(x)


class CaffeCenterLoss(torch.autograd.Function):
    """The layer of ydwen/caffe-face: half the mean squared distance, and the update where the centers' gradient is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
        """Return the sum of squared distances over M, halved."""
        ctx.save_for_backward(x - centers[labels], labels, centers)
        return (x - centers[labels]).square().sum() / len(x) / 2

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None, Tensor]:
        """Return (x - c)/M for the rows, and the sum of c - x over 1 + n for the centers, which no weight scales."""
        differences, labels, centers = ctx.saved_tensors
        counts = torch.bincount(labels, minlength=len(centers)).to(centers)
        sums = torch.zeros_like(centers).index_add(0, labels, -differences)
        return differences * given[0] / len(differences), None, sums / (counts + 1)[:, None]


def caffe_center_loss(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Return the loss of the layer."""
    loss: Tensor = CaffeCenterLoss.apply(embeddings, labels, centers)  # type: ignore[no-untyped-call]
    return loss


def by_product(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Return the loss of the torch module with the page's names."""
    return torch_center_loss(embeddings, labels, centers)


def caffe_update(centers: Tensor, embeddings: Tensor, labels: Tensor, alpha: float = 0.5) -> Tensor:
    """Return the centers after a step of plain SGD, at the learning rate alpha, on what the layer hands the solver."""
    with torch.enable_grad():
        rows, moving = embeddings.detach(), centers.detach().requires_grad_()
        (step,) = torch.autograd.grad(caffe_center_loss(rows, labels, moving), moving)
    return (centers - alpha * step).detach()


LIMITS = {"dtype": FORMATS}
pytorch_center_loss = formula("KaiyangZhou/pytorch-center-loss", "CenterLoss", by_product, limits=LIMITS)
caffe_face = formula(
    "ydwen/caffe-face", "CenterLoss", caffe_center_loss, ("update_centers", caffe_update), limits=LIMITS
)
