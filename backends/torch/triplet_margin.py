"""Triplet margin loss (spec/triplet_margin.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import real, rows
from lossproof.backends.torch.distances import row_distance, slack
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.reductions import reduce, softened
from lossproof.backends.torch.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_distance, check_soft_margin


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float | Tensor = 1.0,
    soft_margin: bool = False,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float | Tensor = 1e-6,
    eps_at: str = "difference",
    swap: bool = False,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the triplet margin loss of rows.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))``, with ``d(positive, negative)`` in place of the last
    distance where `swap` is True and it is strictly smaller; with `soft_margin`
    ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))`` of the same distances.

    Args:
        anchor: rows of shape (..., D); float16, bfloat16, float32 or float64.
        positive: rows, same shape and dtype.
        negative: rows, same shape and dtype.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); a tensor of shape () is used as it is and not checked.
        eps_at: "difference" adds eps to each signed difference, "root" to the sum of powers, "floor" raises that sum.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those that are positive).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (...) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: derivative 0 for the hinge at 0, for |t| at 0, for a norm at 0 and at or below a floor; with p = inf the
    lowest coordinate; `swap` at a tie takes d(anchor, negative). Clauses TM-1 to TM-11, DI-1 to DI-21, CV-1 to CV-46,
    DD-1 to DD-19. Source: Schroff et al. (2015), eq. 2; Balntas et al. (2016), eq. 4.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    margin = real("margin", margin, 0)  # TM-3
    check_soft_margin(soft_margin, margin, 1.0)  # TM-11
    eps = real("eps", eps, 0)
    check_distance(distance, p, eps, eps_at)  # DI-20, DI-21
    check_bool("swap", swap)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, anchor=anchor)
    mask = weighing(mask, w)
    a, pos, neg = rows(mask, anchor=anchor, positive=positive, negative=negative)

    p = p if isinstance(p, float) else float(p)
    if swap:
        to_negative = row_distance(a, neg, distance, p, eps, eps_at)
        between = row_distance(pos, neg, distance, p, eps, eps_at)
        to_negative = torch.where(between < to_negative, between, to_negative)  # TM-5, TM-6
        by = row_distance(a, pos, distance, p, eps, eps_at) - to_negative
    else:
        by = slack(a, pos, neg, distance, p, eps, eps_at)  # TM-4
    if soft_margin:
        terms, reduction = softened(by, reduction)  # TM-11
    else:
        terms = torch.relu(margin + by)  # TM-1, TM-10, CV-13
    return reduce(terms, mask, reduction, w, processes=processes)


class TripletMarginLoss(nn.Module):
    """`triplet_margin_loss` as a module: the options at construction, the rows and the mask in the call.

    Args:
        margin: in the unit of the distance, [0, inf). Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: "difference" adds eps to each signed difference, "root" to the sum of powers, "floor" raises
            that sum.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those that are
            positive).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import TripletMarginLoss
        >>> loss = TripletMarginLoss(margin=2.0)
        >>> anchor, positive = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
        >>> round(float(loss(anchor, positive, torch.tensor([[0.0, 6.0]]))), 3)
        1.0
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        soft_margin: bool = False,
        distance: str = "p_norm",
        p: float = 2.0,
        eps: float = 1e-6,
        eps_at: str = "difference",
        swap: bool = False,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "soft_margin": soft_margin, "distance": distance, "p": p, "eps": eps,
            "eps_at": eps_at, "swap": swap, "reduction": reduction,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        row = torch.zeros(1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here, not in training
        triplet_margin_loss(row, row, row, **legal)

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of the rows; see `triplet_margin_loss`."""
        return triplet_margin_loss(
            anchor, positive, negative, mask=mask, weights=weights, **self.options, **self.processes
        )

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
