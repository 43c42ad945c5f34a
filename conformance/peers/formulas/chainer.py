"""Formula of chainer's triplet loss (chainer/chainer, functions/loss/triplet.py), whose backward pass is by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas.pairs import FORMATS


class Triplets(torch.autograd.Function):
    """[sum of (a - p)² - (a - n)² + m]+ of each triplet."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
        """Return one number a triplet."""
        terms = (((anchor - positive).square() - (anchor - negative).square()).sum(dim=1) + margin).clamp(min=0)
        ctx.save_for_backward(anchor, positive, negative, terms)
        return terms

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return 2(n - p), 2(p - a) and 2(a - n) where the term is positive, so nothing at the kink."""
        anchor, positive, negative, terms = ctx.saved_tensors
        slope = 2 * (given[0] * (terms > 0))[:, None]
        return slope * (negative - positive), slope * (positive - anchor), slope * (anchor - negative), None


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2, reduce: str = "mean") -> Tensor:
    """Return the terms, or their sum over their number; a margin of 0 and a batch of no rows are errors."""
    if margin <= 0:
        raise ValueError("margin should be positive value.")
    shapes, dtypes = {x.shape for x in (anchor, positive, negative)}, {x.dtype for x in (anchor, positive, negative)}
    if len(shapes) > 1 or len(dtypes) > 1 or not len(anchor) or not anchor.is_floating_point():
        raise TypeError("anchor, positive and negative must have one float dtype and one shape, of a row at least")
    terms: Tensor = Triplets.apply(anchor, positive, negative, margin)  # type: ignore[no-untyped-call]
    return terms.sum() / len(anchor) if reduce == "mean" else terms


def given_triplets(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Return the loss of rows that have two axes there, with the page's default; its word for none is "no"."""
    rows = [x.reshape(-1, x.shape[-1]) if x.ndim != 2 else x for x in (anchor, positive, negative)]
    loss = triplet(rows[0], rows[1], rows[2], margin, {"none": "no"}.get(reduction, reduction))
    return loss.reshape(anchor.shape[:-1]) if reduction == "none" else loss


triplets = formula("chainer", "triplet", given_triplets, limits={"dtype": FORMATS, "reduction": ["none", "mean"]})
