"""Semi-hard triplet loss (spec/semi_hard.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import batch, real
from lossproof.backends.torch.pairwise import candidates, columns, distance_matrix, sorted_positives, spread_out
from lossproof.backends.torch.reductions import reduce, softened
from lossproof.backends.torch.weights import unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise, check_soft_margin


def semi_hard_triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor = 1.0,
    soft_margin: bool = False,
    distance: str = "squared_euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the semi-hard triplet loss.

    ``max(0, margin + d(a, p) - d(a, n))`` for each anchor a and each positive p of it, where n is the nearest negative
    that is farther than p, or the farthest negative where none is; with `soft_margin`
    ``log(1 + exp(d(a, p) - d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,). On the CPU they are read for the largest number of positives.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows that
            nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 under
            torch.compile and on other devices. With more, the terms of the anchor are NaN, and on the
            CPU an error is raised.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those that are
            positive).

    Returns:
        The loss: shape (B, B) for "none", with 0 off the pairs that take part, else (); float64 for float64 inputs,
        else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A pair whose anchor has no negative takes no part. A negative as far as the positive is not farther; of negatives
    that tie, the lowest index alone gets gradient; the hinge at 0 and coincident rows have gradient 0. Memory is
    O(B^2).
    Clauses SH-1 to SH-12, PW-1 to PW-8, CV-1 to CV-46. Source: Schroff et al. (2015), section 3.2; tf.contrib.
    """
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 1.0)  # SH-12
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    labels, rows = batch(mask, labels, embeddings=embeddings)
    if rows.shape[0] == 0:
        return rows @ rows.T if reduction == "none" else rows.sum()  # CV-5, CV-6
    positive, negative = candidates(labels, mask)  # PW-2
    finite = rows.detach().isfinite().all(-1)
    rows = rows.masked_fill(~finite.unsqueeze(-1), 0.0)  # it would reach every distance: SH-10
    d = distance_matrix(rows, finite if mask is None else finite & mask, distance, pairwise)

    index, valid, crowded = sorted_positives(d, labels, mask, max_positives)
    pairs = valid & negative.any(-1, keepdim=True)  # SH-4
    ap = columns(d, index)
    an = d.gather(1, _chosen(d.detach(), ap.detach().masked_fill(~valid, torch.inf), negative))
    if soft_margin:
        terms, reduction = softened(ap - an, reduction)  # SH-12
    else:
        terms = torch.relu(margin + ap - an)  # SH-1, SH-7, SH-9
    unknown = (negative & ~finite).any(-1) | ~finite | crowded
    broken = unknown.unsqueeze(1) | columns((~finite).expand_as(d).int(), index).bool()
    terms = terms.masked_fill(broken, torch.nan)  # SH-10, PW-8
    w = None if w is None else w.unsqueeze(1)  # SH-11
    if reduction != "none":
        return reduce(terms, pairs, reduction, w)
    full = spread_out(terms.masked_fill(~pairs, 0.0), index)
    pairs = positive & negative.any(-1, keepdim=True)
    full = full.masked_fill(crowded.unsqueeze(1) & pairs, torch.nan)
    return full if w is None else reduce(full, pairs, reduction, w)


def _chosen(d: Tensor, near: Tensor, negative: Tensor) -> Tensor:
    """Return the negative of each sorted positive: (B, B), (B, K), (B, B) -> (B, K).

    A negative of rank r is farther than the r nearest positives. All of rank r are nearer than all of a higher rank, so
    the positive at place k takes the nearest one of the first rank above k that has any.
    """
    count, places = near.shape
    rank = torch.searchsorted(near, d).masked_fill(~negative, 0)  # SH-2; rank 0 is never taken
    least = near.new_full((count, places + 1), torch.inf).scatter_reduce(1, rank, d, "amin")
    column = torch.arange(count, device=d.device).expand_as(d)
    column = column.masked_fill(~negative | (d != least.gather(1, rank)), count)
    lowest = rank.new_full((count, places + 1), count).scatter_reduce(1, rank, column, "amin")  # SH-8
    filled = torch.arange(places + 1, device=d.device).expand_as(lowest).masked_fill(lowest == count, places + 1)
    above = filled[:, 1:].flip(1).cummin(1).values.flip(1)  # the first rank above each place that has any
    farthest = d.masked_fill(~negative, -torch.inf).argmax(-1, keepdim=True)  # SH-3, SH-8
    return torch.where(above > places, farthest, lowest.gather(1, above.clamp(max=places))).clamp(max=count - 1)


class SemiHardTripletLoss(nn.Module):
    """`semi_hard_triplet_loss` as a module: the options at construction, rows, labels and mask in the call.

    Args:
        margin: in the unit of the distance, [0, inf). Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows
            that nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 under
            torch.compile and on other devices. With more, the terms of the anchor are NaN, and on the CPU an
            error is raised.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those
            that are positive).

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import SemiHardTripletLoss
        >>> loss = SemiHardTripletLoss(margin=10.0)
        >>> round(float(loss(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))), 3)
        4.5
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        soft_margin: bool = False,
        distance: str = "squared_euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "soft_margin": soft_margin, "distance": distance, "pairwise": pairwise,
            "max_positives": max_positives, "reduction": reduction,
        }  # fmt: skip
        nothing = torch.zeros(0, 1)
        semi_hard_triplet_loss(nothing, nothing[:, 0].long(), **self.options)  # an illegal option is refused here

    def forward(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see `semi_hard_triplet_loss`."""
        return semi_hard_triplet_loss(embeddings, labels, mask=mask, weights=weights, **self.options)

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
