"""Circle loss (spec/circle.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import real
from lossproof.backends.torch.candidates import as_sets
from lossproof.backends.torch.circle_sums import sums_of
from lossproof.backends.torch.distributed import Group, agreed, joined, share, union
from lossproof.backends.torch.reductions import number, reduce, softplus
from lossproof.backends.torch.weights import in_arithmetic, total_weight, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice


def circle_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor = 0.25,
    gamma: float | Tensor = 256.0,
    detach_weights: bool = True,
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
    """Return the circle loss of a batch.

    For an anchor with similarities ``s`` (cosines) to its positives P and negatives N,
    ``log(1 + sum_N exp(gamma a_n (s_n - margin)) * sum_P exp(-gamma a_p (s_p - 1 + margin)))`` with the weights
    ``a_p = max(0, 1 + margin - s_p)`` and ``a_n = max(0, s_n + margin)``; 0 where P or N is empty.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; their lengths do not matter.
        labels: integers of shape (B,).
        margin: [-1, 1], in the unit of the cosine; a tensor of shape () is used as it is and not checked.
        gamma: scale of the exponents, [0, inf); a tensor of shape () is used as it is and not checked.
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
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
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that have a
            positive and a negative).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them, or
            in a compiled call as many as here.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 embeddings, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a weight clipped at 0 has derivative 0; a zero row has cosine 0 and no gradient. Memory is O(B²), with
    candidates O(B M).
    Clauses CI-1 to CI-17, PW-9 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Sun et al. (2020), eq. 4 to 9.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    margin = real("margin", margin, -1, high=1)
    gamma = real("gamma", gamma, 0)
    check_bool("detach_weights", detach_weights)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, processes, sizes, embeddings.dtype)

    rows = sets.rows
    most = torch.finfo(rows.dtype).max / 64  # exponents stay finite (CV-19)
    gamma = gamma.clamp(max=most) if isinstance(gamma, Tensor) else min(gamma, most)
    logarithms, both, spoilt = sums_of(sets, w, margin, gamma, detach_weights=detach_weights)
    terms = softplus(logarithms)  # CI-1, CI-5
    terms = torch.where(both, terms, 0.0)  # CI-6, CI-13
    terms = terms.masked_fill(spoilt, torch.nan)  # CI-9
    if reduction != "mean_nonzero":
        return reduce(terms, mask, reduction, w, processes=processes)
    counted = both | spoilt if mask is None else (both | spoilt) & mask
    if w is None:
        divisor = number(processes, counted, rows.dtype)  # CI-8
    else:
        divisor = total_weight(in_arithmetic(w, rows.dtype).masked_fill(~counted, 0.0), processes)  # CI-16
    return share(processes, reduce(terms, mask, "sum", w) / divisor)


class CircleLoss(nn.Module):
    """`circle_loss` as a module: the options at construction; embeddings, labels and the mask in the call.

    Args:
        margin: [-1, 1], in the unit of the cosine.
        gamma: scale of the exponents, [0, inf).
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that
            have a positive and a negative).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import CircleLoss
        >>> loss = CircleLoss(gamma=16.0)
        >>> round(float(loss(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([0, 0, 1]))), 3)
        3.937
    """

    def __init__(
        self,
        *,
        margin: float = 0.25,
        gamma: float = 256.0,
        detach_weights: bool = True,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "margin": margin, "gamma": gamma, "detach_weights": detach_weights, "reduction": reduction,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        nothing = torch.zeros(0, 1)
        circle_loss(nothing, nothing[:, 0].long(), combine=combine, **self.options)  # an illegal option is refused here

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
        """Return the loss of the batch; see `circle_loss`."""
        return circle_loss(
            embeddings, labels, mask=mask, weights=weights, candidates=candidates, candidate_labels=candidate_labels,
            candidate_mask=candidate_mask, candidate_index=candidate_index, sizes=sizes,
            **self.options, **self.processes,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
