"""Contrastive loss (spec/contrastive.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import describe, real, rows, same_device
from lossproof.backends.torch.distances import row_distance
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_distance, check_mask


def contrastive_loss(
    x1: Tensor,
    x2: Tensor,
    dissimilar: Tensor,
    *,
    margin: float | Tensor = 1.0,
    factor: float | Tensor = 0.5,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float | Tensor = 0.0,
    eps_at: str = "difference",
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the contrastive loss of pairs of rows.

    ``factor * d(x1, x2)**2`` for a similar pair and ``factor * max(0, margin - d(x1, x2))**2`` for a dissimilar one.

    Args:
        x1: rows of shape (..., D); float16, bfloat16, float32 or float64.
        x2: rows, same shape and dtype.
        dissimilar: booleans of shape (...); True for a pair that belongs apart.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked.
        factor: of both parts, [0, inf); the same; 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); the same.
        eps_at: where it is added: "difference", "root" or "floor".
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are positive).
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

    At kinks: coincident rows have gradient 0, and so has a pair at the margin; the others as for the distance.
    Clauses CO-1 to CO-10, DI-1 to DI-21, CV-1 to CV-46, DD-1 to DD-19. Source: Hadsell, Chopra & LeCun (2006), eq. 4.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    margin, factor = real("margin", margin, 0), real("factor", factor, 0)  # CO-10
    eps = real("eps", eps, 0)
    check_distance(distance, p, eps, eps_at, default_eps=0.0)  # DI-20, DI-21
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, x1=x1)
    mask = weighing(mask, w)
    x, y = rows(mask, x1=x1, x2=x2)
    check_mask("dissimilar", *describe("dissimilar", dissimilar), tuple(x.shape[:-1]))  # CO-9
    same_device("dissimilar", dissimilar, "x1", x1)

    d = row_distance(x, y, distance, float(p), eps, eps_at)
    reach = torch.where(dissimilar, torch.relu(margin - d), d)  # CV-13
    reach = reach.clamp(max=2.0**-2 * torch.finfo(x.dtype).max ** 0.5)  # CV-19
    return reduce(factor * reach * reach, mask, reduction, w, processes=processes)  # CO-1, CO-2, CO-3


class ContrastiveLoss(nn.Module):
    """`contrastive_loss` as a module: the options at construction, the pairs and the mask in the call.

    Args:
        margin: in the unit of the distance, [0, inf).
        factor: of both parts, [0, inf); 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: where it is added: "difference", "root" or "floor".
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are
            positive).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import ContrastiveLoss
        >>> loss = ContrastiveLoss(margin=2.0)
        >>> round(float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([False]))), 3)
        12.5
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        factor: float = 0.5,
        distance: str = "p_norm",
        p: float = 2.0,
        eps: float = 0.0,
        eps_at: str = "difference",
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "factor": factor, "distance": distance, "p": p, "eps": eps, "eps_at": eps_at,
            "reduction": reduction,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        row = torch.zeros(1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here
        contrastive_loss(row, row, torch.tensor(False), **legal)

    def forward(
        self, x1: Tensor, x2: Tensor, dissimilar: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the pairs; see `contrastive_loss`."""
        return contrastive_loss(x1, x2, dissimilar, mask=mask, weights=weights, **self.options, **self.processes)

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
