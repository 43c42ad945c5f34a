"""Batch-all triplet loss (spec/batch_all.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import real
from lossproof.backends.torch.candidates import Sets, as_sets
from lossproof.backends.torch.counts import counted
from lossproof.backends.torch.distributed import Group, agreed, joined, share, union
from lossproof.backends.torch.gram import gram
from lossproof.backends.torch.pairwise import finite
from lossproof.backends.torch.positives import columns, sorted_positives, spread_out
from lossproof.backends.torch.reductions import number, reduce
from lossproof.backends.torch.weights import in_arithmetic, total_weight, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise


def batch_all_triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
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
    """Return the batch-all triplet loss.

    ``max(0, margin + d(a, p) - d(a, n))`` for every anchor a, positive p and negative n of the batch.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,). On the CPU they are read for the largest number of positives.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows that
            nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 (with
            candidates M) under torch.compile and on other devices. With more, the terms of the anchor are NaN, and on
            the CPU an error is raised.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error on the host, and on a device
            (or compiled) the sum of the anchor is NaN.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over triplets that
            are positive).
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

    At kinks: the hinge at 0 and coincident rows have gradient 0. Memory is O(B^2), with candidates O(B M); no
    triplet is formed.
    Clauses BA-1 to BA-9, PW-1 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Hermans, Beyer & Leibe (2017), eq. 6.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    margin = real("margin", margin, 0)
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, processes, sizes, embeddings.dtype)
    if sets.rows.shape[0] == 0 or sets.candidates.shape[0] == 0:
        nobody = torch.zeros_like(sets.labels, dtype=torch.bool)
        return reduce(sets.nothing(), nobody, reduction, w, processes=processes)  # CV-5, CV-6
    found = _triplets(sets, margin, distance, pairwise, max_positives)
    sums = found.sums + margin * found.active.to(found.sums.dtype)  # BA-1
    sums = sums.masked_fill(found.broken, torch.nan)  # BA-7, PW-8
    if reduction in ("none", "sum"):
        return reduce(sums, None, reduction, w, processes=processes)
    counts = (found.every if reduction == "mean" else found.active).to(sums.dtype)  # BA-3, BA-4
    if w is None:
        divisor = number(processes, counts, sums.dtype)
    else:
        divisor = total_weight(in_arithmetic(w, sums.dtype) * counts, processes)  # BA-9
    return share(processes, reduce(sums, None, "sum", w) / divisor)


def batch_all_active_fraction(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Return how many of the triplets of a batch are active, over how many there are: a number in [0, 1].

    A triplet of an anchor a, a positive p and a negative n is active where ``margin + d(a, p) - d(a, n) > 0``.
    Arguments and errors as in `batch_all_triplet_loss`. 0 without a triplet; NaN where there is one and a row that
    takes part holds NaN, or where an anchor of one has more than `max_positives`. Of shape (), without gradient;
    float64 for float64 inputs, else float32. Memory is O(B^2); no triplet is formed.
    Clauses BA-10 to BA-16, PW-1 to PW-6, PW-8. Source: Hermans, Beyer & Leibe (2017).
    """
    margin = real("margin", margin, 0)
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    sets = as_sets(embeddings, labels, mask)
    rows = sets.rows.detach()  # BA-14
    if rows.shape[0] == 0:
        return rows.sum()  # BA-12
    found = _triplets(sets.of(rows), margin, distance, pairwise, max_positives)
    wide = rows.dtype if rows.device.type == "mps" else torch.float64  # mps has no float64
    share = found.active.sum().to(wide) / found.every.sum().clamp(min=1)  # BA-10, BA-12, BA-15
    return share.to(rows.dtype).masked_fill(found.broken.any(), torch.nan)  # BA-13, PW-8


class _Triplets(NamedTuple):
    """How many triplets each anchor has, none of which is formed, and what its distances add up to in them."""

    sums: Tensor  # (B,), of d(a, p) - d(a, n) over the active ones, with gradient
    active: Tensor  # (B,)
    every: Tensor  # (B,)
    broken: Tensor  # (B,), whether an anchor with triplets has too many positives or is spoilt


def _triplets(sets: Sets, margin: float | Tensor, distance: str, pairwise: str, max_positives: int | None) -> _Triplets:
    plainly = gram(sets, distance, pairwise, max_positives)
    if plainly is not None:
        sums, active = counted(plainly, margin)
        every = plainly.valid.sum(1) * plainly.negatives  # BA-2
        return _Triplets(sums, active, every, torch.zeros_like(every, dtype=torch.bool))
    positive, negative = sets.pairs()  # PW-2, PW-9
    found = finite(sets)
    d = found.distances(distance, pairwise)

    index, valid, crowded = sorted_positives(d, sets, max_positives)
    threshold = (margin + columns(d.detach(), index)).masked_fill(~valid, torch.inf)
    sign, active = _counts(d.detach(), threshold, index, valid, negative)
    part = sign.to(d.dtype) * (d - _center(d.detach(), sign))  # BA-5: each row of counts sums to 0
    sums = torch.where(sign != 0, part, 0.0).sum(-1)
    every = positive.sum(-1) * negative.sum(-1)  # BA-2
    broken = (every > 0) & (crowded | found.unknown())
    return _Triplets(sums, torch.where(broken, every, active), every, broken)  # BA-4: NaN is counted


def _counts(d: Tensor, threshold: Tensor, index: Tensor, valid: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Return the active triplets of each pair (B, M), those of a negative with a minus, and those of each anchor (B,).

    A triplet is active where d(a, n) < d(a, p) + margin: a negative of rank r is so for all but the r lowest
    thresholds.
    """
    rank = torch.searchsorted(threshold, d, right=True)  # BA-6
    of_negatives = (valid.sum(-1, keepdim=True) - rank).masked_fill(~negative, 0)
    histogram = rank.new_zeros(d.shape[0], threshold.shape[1] + 1).scatter_add(1, rank, negative.long())
    of_positives = histogram.cumsum(1)[:, :-1].masked_fill(~valid, 0)
    return spread_out(of_positives, index, d.shape[1]) - of_negatives, of_positives.sum(-1)


def _center(d: Tensor, sign: Tensor) -> Tensor:
    """Return the mean distance of each anchor from its rows, by their counts: as near as the active triplets are."""
    weight = sign.abs().to(d.dtype)
    return (d * (weight / weight.sum(-1, keepdim=True).clamp(min=1))).sum(-1, keepdim=True)


class BatchAllTripletLoss(nn.Module):
    """`batch_all_triplet_loss` as a module: the options at construction, rows, labels and mask in the call.

    Args:
        margin: in the unit of the distance, [0, inf).
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows
            that nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 (with
            candidates M) under torch.compile and on other devices. With more, the terms of the anchor are NaN, and on
            the CPU an error is raised.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over
            triplets that are positive).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import BatchAllTripletLoss
        >>> loss = BatchAllTripletLoss(margin=2.5)
        >>> round(float(loss(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))), 3)
        1.0
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        distance: str = "euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "distance": distance, "pairwise": pairwise, "max_positives": max_positives,
            "reduction": reduction,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        nothing = torch.zeros(0, 1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here
        batch_all_triplet_loss(nothing, nothing[:, 0].long(), **legal)

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
        """Return the loss of the rows; see `batch_all_triplet_loss`."""
        return batch_all_triplet_loss(
            embeddings, labels, mask=mask, weights=weights, candidates=candidates, candidate_labels=candidate_labels,
            candidate_mask=candidate_mask, candidate_index=candidate_index, sizes=sizes,
            **self.options, **self.processes,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
