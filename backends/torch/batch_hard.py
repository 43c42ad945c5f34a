"""Batch-hard triplet loss (spec/batch_hard.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import on_host, plain, real, rows_at
from lossproof.backends.torch.candidates import Sets, as_sets
from lossproof.backends.torch.distances import slack, unit_rows
from lossproof.backends.torch.distributed import Group, agreed, joined, union
from lossproof.backends.torch.pairwise import floored_distance, mining_distances, poisoned
from lossproof.backends.torch.reductions import reduce, softened
from lossproof.backends.torch.screen import Picks, screened
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
    candidates: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    candidate_mask: Tensor | None = None,
    candidate_index: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    sizes: Sequence[int] | None = None,
    check: bool = False,
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
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error on the host, and on a device
            (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are positive).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them, or
            in a compiled call as many as here.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0. Memory is O(B^2), with
    candidates O(B M); a plain call on the host takes that of 512 anchors, but for "cosine".
    Clauses BH-1 to BH-12, PW-1 to PW-5, PW-9 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Hermans, Beyer & Leibe
    (2017), eq. 5.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, processes, sizes, embeddings.dtype)
    if sets.rows.shape[0] == 0 or sets.candidates.shape[0] == 0:
        return reduce(
            sets.nothing(), torch.zeros_like(sets.labels, dtype=torch.bool), reduction, w, processes=processes
        )  # CV-5, CV-6
    differences = distance != "cosine" and not (include_self and sets.second)
    if differences and plain(embeddings, labels, sets.candidates, sets.candidate_labels):
        anchors, hardest, nearest = screened(sets, include_self=include_self)
    else:
        anchors, hardest, nearest = _compared(sets, distance, include_self)
    if w is not None:
        anchors = anchors & (w != 0)  # BH-11
    sets = _in_terms(sets, anchors)
    (positives, itself), (negatives, _) = (_met(sets, chosen, anchors) for chosen in (hardest, nearest))
    farther = _farther(sets.rows, positives, negatives, itself, distance, float(floor))  # BH-5
    if soft_margin:
        terms, reduction = softened(farther, reduction)  # BH-4
    else:
        terms = torch.relu(margin + farther)  # BH-1, BH-9
    return reduce(poisoned(terms, sets), anchors, reduction, w, processes=processes)


def _compared(sets: Sets, distance: str, include_self: bool) -> Picks:
    """Return the picks of the distances of all pairs, whatever is made of the call."""
    positive, negative = sets.pairs(include_self=include_self)  # BH-3, BH-12, PW-2, PW-9
    anchors = positive.any(-1) & negative.any(-1)  # BH-2
    order = mining_distances(sets, distance)  # BH-7
    if include_self and sets.second:
        order = _own_positive(order, sets, distance)
    hardest = order.masked_fill(~positive, -torch.inf).argmax(-1)  # BH-1, BH-8
    return Picks(anchors, hardest, order.masked_fill(~negative, torch.inf).argmin(-1))


def _in_terms(sets: Sets, anchors: Tensor) -> Sets:
    """Return the sets with zeros in place of rows that are in no term, from which no NaN may come: CV-11, CV-42."""
    if on_host(anchors) and bool(anchors.all()):
        return sets
    if sets.second:
        return sets.of(sets.rows.masked_fill(~anchors.unsqueeze(1), 0.0), sets.candidates)
    return sets.of(torch.where(anchors.any(), sets.rows, 0.0))


def _own_positive(order: Tensor, sets: Sets, distance: str) -> Tensor:
    """Return distances in which the candidate that is the anchor itself is at that of the anchor from itself: BH-12."""
    itself = sets.itself()
    if itself is None:
        return order
    if distance != "cosine":
        return order.masked_fill(itself, 0.0)
    return torch.where(itself, (unit_rows(sets.rows.detach()) == 0).all(-1, keepdim=True).to(order.dtype), order)


def _met(sets: Sets, chosen: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the chosen rows, and where they are the anchor's own, as in place of a row that is in no term (CV-11)."""
    if not sets.second:
        itself = torch.arange(chosen.shape[0], device=chosen.device)
        chosen = torch.where(anchors, chosen, itself)
        return rows_at(sets.rows, chosen), chosen == itself
    own = ~anchors if sets.named is None else ~anchors | (chosen == sets.named)
    return torch.where(own.unsqueeze(1), sets.rows, rows_at(sets.candidates, chosen)), own


def _farther(rows: Tensor, positives: Tensor, negatives: Tensor, itself: Tensor, distance: str, floor: float) -> Tensor:
    """Return how much farther the positive of each anchor is than its negative."""
    if not floor and distance != "cosine":
        return slack(rows, positives, negatives, distance, 2.0, 0.0, "difference")  # 0 has gradient 0: BH-10
    ap = floored_distance(rows, positives, distance, floor)
    return torch.where(itself, ap.detach(), ap) - floored_distance(rows, negatives, distance, floor)  # BH-10


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
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import BatchHardTripletLoss
        >>> loss = BatchHardTripletLoss(margin=2.5)
        >>> round(float(loss(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))), 3)
        1.0
        >>> memory, names = torch.tensor([[2.0], [5.0], [4.0]]), torch.tensor([0, 0, 1])
        >>> rows, labels = torch.tensor([[0.0]]), torch.tensor([0])
        >>> round(float(loss(rows, labels, candidates=memory, candidate_labels=names)), 3)
        3.5
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
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "soft_margin": soft_margin, "distance": distance, "floor": floor,
            "include_self": include_self, "reduction": reduction,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        nothing = torch.zeros(0, 1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here
        batch_hard_triplet_loss(nothing, nothing[:, 0].long(), **legal)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        candidates: Tensor | None = None,
        candidate_labels: Tensor | None = None,
        candidate_mask: Tensor | None = None,
        candidate_index: Tensor | None = None,
        sizes: Sequence[int] | None = None,
    ) -> Tensor:
        """Return the loss of the rows; see `batch_hard_triplet_loss`."""
        return batch_hard_triplet_loss(
            embeddings, labels, mask=mask, weights=weights, candidates=candidates, candidate_labels=candidate_labels,
            candidate_mask=candidate_mask, candidate_index=candidate_index, sizes=sizes,
            **self.options, **self.processes,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
