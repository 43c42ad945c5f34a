"""Formula of MXNet gluon's TripletLoss (apache/mxnet, python/mxnet/gluon/loss.py, version 1.9)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS


def triplet_loss(pred: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Return [sum of (p - a)² - (n - a)² over all axes but the first + m]+; the others take the shape of `pred`."""
    positive, negative = positive.reshape(pred.shape), negative.reshape(pred.shape)
    differences = (positive - pred).square() - (negative - pred).square()
    return functional.relu(differences.flatten(start_dim=1).sum(dim=1) + margin)


def terms(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Return one number a row, of rows that have one axis in front of them there."""
    rows = anchor.reshape(-1, anchor.shape[-1]) if anchor.ndim != 2 else anchor
    return triplet_loss(rows, positive, negative, margin).reshape(anchor.shape[:-1])


triplet = formula("apache/mxnet", "gluon.loss.TripletLoss", terms, limits={"dtype": FORMATS})
