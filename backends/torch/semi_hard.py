"""Semi-hard triplet loss (spec/semi_hard.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import real
from lossproof.backends.torch.candidates import Sets, as_sets
from lossproof.backends.torch.distributed import Group, agreed, joined, union
from lossproof.backends.torch.farther import semi_hard_negatives
from lossproof.backends.torch.gram import gram
from lossproof.backends.torch.pairwise import finite
from lossproof.backends.torch.positives import columns, sorted_positives, spread_out
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
            (or compiled) the terms of the anchor are NaN.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those that are
            positive).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them, or
            in a compiled call as many as here.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B, B), or (B, M), for "none", with 0 off the pairs that take part, else (); float64 for float64
        inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A pair whose anchor has no negative takes no part. A negative as far as the positive is not farther; of negatives
    that tie, the lowest index alone gets gradient; the hinge at 0 and coincident rows have gradient 0. Memory is
    O(B^2), with candidates O(B M).
    Clauses SH-1 to SH-13, PW-1 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Schroff et al. (2015), section 3.2;
    tf.contrib.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 1.0)  # SH-12
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, processes, sizes, embeddings.dtype)
    count = sets.candidates.shape[0]
    if sets.rows.shape[0] == 0 or count == 0:
        nothing = sets.nothing()
        if reduction == "none":
            return nothing.unsqueeze(1).expand(-1, count)
        nobody = torch.zeros_like(sets.labels, dtype=torch.bool)
        return reduce(nothing, nobody, reduction, w, processes=processes)  # CV-5, CV-6
    mined = _mined(sets, distance, pairwise, max_positives)
    slack = mined.ap - mined.an
    if soft_margin:
        terms, reduction = softened(slack, reduction)  # SH-12
    else:
        terms = torch.relu(margin + slack)  # SH-1, SH-7, SH-9
    if mined.broken is not None:
        terms = terms.masked_fill(mined.broken, torch.nan)  # SH-10, PW-8
    w = None if w is None else w.unsqueeze(1)  # SH-11
    if reduction != "none":
        return reduce(terms, mined.pairs, reduction, w, processes=processes)
    full = spread_out(terms.masked_fill(~mined.pairs, 0.0), mined.column, count)
    positive, negative = sets.pairs()  # PW-2, PW-9
    pairs = positive & negative.any(-1, keepdim=True)
    if mined.crowded is not None:
        full = full.masked_fill(mined.crowded.unsqueeze(1) & pairs, torch.nan)
    return full if w is None else reduce(full, pairs, reduction, w, processes=processes)


class _Mined(NamedTuple):
    """The positives of each anchor in K columns, and the distances of each and of its negative."""

    column: Tensor  # (B, K), M where there is no positive
    pairs: Tensor  # (B, K), which take part
    ap: Tensor  # (B, K)
    an: Tensor  # (B, K)
    broken: Tensor | None  # (B, K), which pairs meet no number; None: none does
    crowded: Tensor | None  # (B,), which anchors have too many positives


def _mined(sets: Sets, distance: str, pairwise: str, max_positives: int | None) -> _Mined:
    plainly = gram(sets, distance, pairwise, max_positives)
    if plainly is not None:
        column = torch.cat([plainly.column, semi_hard_negatives(plainly)], 1)
        d = plainly.between(column)
        ap, an = plainly.known(d, plainly.slopes(torch.ones_like(d), d), column).chunk(2, 1)
        pairs = plainly.valid & (plainly.negatives > 0).unsqueeze(1)  # SH-4
        return _Mined(plainly.column.masked_fill(~pairs, len(pairs)), pairs, ap, an, None, None)
    _, negative = sets.pairs()  # PW-2, PW-9
    found = finite(sets)  # NaN would reach every distance: SH-10
    d = found.distances(distance, pairwise)

    index, valid, crowded = sorted_positives(d, sets, max_positives)
    pairs = valid & negative.any(-1, keepdim=True)  # SH-4
    ap = columns(d, index)
    an = d.gather(1, _chosen(d.detach(), ap.detach().masked_fill(~valid, torch.inf), negative))
    unknown = (negative & ~found.candidates).any(-1) | ~found.rows | crowded
    if sets.wild is not None:
        unknown = unknown | sets.wild  # PW-14
    broken = unknown.unsqueeze(1) | columns((~found.candidates).expand_as(d).int(), index).bool()
    return _Mined(index, pairs, ap, an, broken, crowded)


def _chosen(d: Tensor, near: Tensor, negative: Tensor) -> Tensor:
    """Return the negative of each sorted positive: (B, M), (B, K), (B, M) -> (B, K).

    A negative of rank r is farther than the r nearest positives. All of rank r are nearer than all of a higher rank, so
    the positive at place k takes the nearest one of the first rank above k that has any.
    """
    count, places = d.shape[1], near.shape[1]
    rank = torch.searchsorted(near, d).masked_fill(~negative, 0)  # SH-2; rank 0 is never taken
    least = near.new_full((d.shape[0], places + 1), torch.inf).scatter_reduce(1, rank, d, "amin")
    column = torch.arange(count, device=d.device).expand_as(d)
    column = column.masked_fill(~negative | (d != least.gather(1, rank)), count)
    lowest = rank.new_full((d.shape[0], places + 1), count).scatter_reduce(1, rank, column, "amin")  # SH-8
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
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 (with
            candidates M) under torch.compile and on other devices. With more, the terms of the anchor are NaN, and on
            the CPU an error is raised.
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those
            that are positive).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

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
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "soft_margin": soft_margin, "distance": distance, "pairwise": pairwise,
            "max_positives": max_positives, "reduction": reduction,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        nothing = torch.zeros(0, 1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here
        semi_hard_triplet_loss(nothing, nothing[:, 0].long(), **legal)

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
        """Return the loss of the rows; see `semi_hard_triplet_loss`."""
        return semi_hard_triplet_loss(
            embeddings, labels, mask=mask, weights=weights, candidates=candidates, candidate_labels=candidate_labels,
            candidate_mask=candidate_mask, candidate_index=candidate_index, sizes=sizes,
            **self.options, **self.processes,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
