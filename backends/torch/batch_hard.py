"""Batch-hard triplet loss (spec/batch_hard.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import batch, real
from lossproof.backends.torch.pairwise import candidates, floored_distance, mining_distances, poisoned
from lossproof.backends.torch.reductions import reduce, softened
from lossproof.backends.torch.weights import unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_pair_distance, check_soft_margin


def batch_hard_triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor = 0.3,
    soft_margin: bool = False,
    distance: str = "euclidean",
    floor: float = 0.0,
    include_self: bool = False,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the batch-hard triplet loss.

    ``max(0, margin + max_p d(a, p) - min_n d(a, n))`` for each anchor a, over the positives p and the negatives n of
    the batch; with `soft_margin` ``log(1 + exp(max_p d(a, p) - min_n d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are positive).

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0. Memory is O(B^2).
    Clauses BH-1 to BH-11, PW-1 to PW-5, CV-1 to CV-46. Source: Hermans, Beyer & Leibe (2017), eq. 5.
    """
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    labels, rows = batch(mask, labels, embeddings=embeddings)
    positive, negative = candidates(labels, mask, include_self=include_self)  # BH-3, PW-2
    anchors = positive.any(-1) & negative.any(-1)  # BH-2
    if w is not None:
        anchors = anchors & (w != 0)  # BH-11
    if rows.shape[0] == 0:
        return reduce(rows.sum(-1), anchors, reduction, w)  # CV-5, CV-6
    rows = torch.where(anchors.any(), rows, 0.0)  # CV-11, CV-42: no NaN comes from rows in no term

    order = mining_distances(rows, distance)  # BH-7
    hardest = order.masked_fill(~positive, -torch.inf).argmax(-1)  # BH-1, BH-8
    nearest = order.masked_fill(~negative, torch.inf).argmin(-1)
    itself = torch.arange(rows.shape[0], device=rows.device)
    hardest, nearest = (
        torch.where(anchors, chosen, itself) for chosen in (hardest, nearest)
    )  # CV-11: no NaN from afar
    ap = floored_distance(rows, rows[hardest], distance, float(floor))  # BH-5
    an = floored_distance(rows, rows[nearest], distance, float(floor))
    slack = torch.where(hardest == itself, ap.detach(), ap) - an  # BH-10
    if soft_margin:
        terms, reduction = softened(slack, reduction)  # BH-4
    else:
        terms = torch.relu(margin + slack)  # BH-1, BH-9
    return reduce(poisoned(terms, rows), anchors, reduction, w)


class BatchHardTripletLoss(nn.Module):
    """`batch_hard_triplet_loss` as a module: the options at construction, rows, labels and mask in the call.

    Args:
        margin: in the unit of the distance, [0, inf). Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are
            positive).

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import BatchHardTripletLoss
        >>> loss = BatchHardTripletLoss(margin=2.5)
        >>> round(float(loss(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))), 3)
        1.0
    """

    def __init__(
        self,
        *,
        margin: float = 0.3,
        soft_margin: bool = False,
        distance: str = "euclidean",
        floor: float = 0.0,
        include_self: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "soft_margin": soft_margin, "distance": distance, "floor": floor,
            "include_self": include_self, "reduction": reduction,
        }  # fmt: skip
        nothing = torch.zeros(0, 1)
        batch_hard_triplet_loss(nothing, nothing[:, 0].long(), **self.options)  # an illegal option is refused here

    def forward(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see `batch_hard_triplet_loss`."""
        return batch_hard_triplet_loss(embeddings, labels, mask=mask, weights=weights, **self.options)

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
