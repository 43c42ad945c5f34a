"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.backends.torch.distributed import Processes, over, share
from lossproof.backends.torch.weights import in_arithmetic, total_weight


def reduce(
    terms: Tensor,
    mask: Tensor | None,
    reduction: str,
    weights: Tensor | None = None,
    counted_as: Tensor | None = None,
    processes: Processes | None = None,
) -> Tensor:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive.

    `weights` multiply the terms, and a mean divides by those of the terms that it counts. `counted_as` are what each
    term counts for in a mean besides. Of a batch over processes it is the share of this one: DD-3.
    """
    found = _reduced(terms, mask, reduction, weights, counted_as, processes)
    return found if reduction == "none" else share(processes, found)


def _reduced(
    terms: Tensor,
    mask: Tensor | None,
    reduction: str,
    weights: Tensor | None,
    counted_as: Tensor | None,
    processes: Processes | None,
) -> Tensor:
    if counted_as is not None and reduction == "mean":
        return _over(_reduced(terms, mask, "sum", weights, None, None), mask, weights, counted_as, processes)
    if weights is not None:
        return _weighed(terms, mask, reduction, in_arithmetic(weights, terms.dtype), processes)
    if mask is not None:
        terms = terms.masked_fill(~mask, 0.0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    if reduction == "mean" and mask is None and processes is None:
        return terms.mean() if terms.numel() else terms.sum()  # CV-3, CV-5
    total = terms.sum()
    if reduction == "sum":
        return total  # CV-2
    counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
    if reduction == "mean_nonzero":
        counted = counted & ~(terms.detach() <= 0)  # CV-4; NaN is counted, CV-10
    return total / number(processes, counted, terms.dtype)


def number(processes: Processes | None, counted: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sum of flags or counts on all processes, or 1 for 0; as floats, which add up without end: DD-13."""
    found = counted.sum()
    return (found if processes is None else over(processes, found.to(dtype))).clamp(min=1)


def softened(slack: Tensor, reduction: str) -> tuple[Tensor, str]:
    """Return the terms log(1 + exp(slack)) of a soft margin, and the reduction of terms that are all positive."""
    return softplus(slack), "mean" if reduction == "mean_nonzero" else reduction


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)); the derivative of torch's own loses the digits of a small slope in a trace."""
    above = x > 0
    return torch.log1p(torch.exp(torch.where(above, -x, x))) + torch.where(above, x, 0.0)


def _over(
    total: Tensor, mask: Tensor | None, weights: Tensor | None, counted_as: Tensor, processes: Processes | None
) -> Tensor:
    """Return a sum over what its terms count for; where that is 0, it is 0, but NaN stays NaN: CE-14."""
    if weights is not None:
        counted_as = counted_as * in_arithmetic(weights, counted_as.dtype)
    if mask is not None:
        counted_as = counted_as.masked_fill(~mask, 0.0)
    divisor = over(processes, counted_as.nan_to_num(nan=0.0).sum())
    nothing = divisor < torch.finfo(divisor.dtype).tiny
    return (total / divisor.masked_fill(nothing, 1.0)).masked_fill(nothing & ~total.isnan(), 0.0)


def _weighed(
    terms: Tensor, mask: Tensor | None, reduction: str, weights: Tensor, processes: Processes | None
) -> Tensor:
    """Return the reduction of weighed terms; nothing is left of a term of weight 0 (CV-41, CV-42)."""
    weights = weights.expand_as(terms)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    products = terms.masked_fill(weights == 0, 0.0) * weights  # CV-39
    if reduction == "none":
        return products
    if reduction == "mean_nonzero":
        weights = weights.masked_fill(terms.detach() <= 0, 0.0)
    return products.sum() if reduction == "sum" else products.sum() / total_weight(weights, processes)  # CV-40
