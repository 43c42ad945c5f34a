"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.backends.torch.weights import in_arithmetic, total_weight


def reduce(
    terms: Tensor,
    mask: Tensor | None,
    reduction: str,
    weights: Tensor | None = None,
    counted_as: Tensor | None = None,
) -> Tensor:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive.

    `weights` multiply the terms, and a mean divides by those of the terms that it counts. `counted_as` are what each
    term counts for in a mean besides.
    """
    if counted_as is not None and reduction == "mean":
        return _over(reduce(terms, mask, "sum", weights), mask, weights, counted_as)
    if weights is not None:
        return _weighed(terms, mask, reduction, in_arithmetic(weights, terms.dtype))
    if mask is not None:
        terms = terms.masked_fill(~mask, 0.0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    if reduction == "mean" and mask is None:
        return terms.mean() if terms.numel() else terms.sum()  # CV-3, CV-5
    total = terms.sum()
    if reduction == "sum":
        return total  # CV-2
    counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
    if reduction == "mean_nonzero":
        counted = counted & ~(terms.detach() <= 0)  # CV-4; NaN is counted, CV-10
    return total / counted.sum().clamp(min=1)


def softened(slack: Tensor, reduction: str) -> tuple[Tensor, str]:
    """Return the terms log(1 + exp(slack)) of a soft margin, and the reduction of terms that are all positive."""
    return softplus(slack), "mean" if reduction == "mean_nonzero" else reduction


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)); the derivative of torch's own loses the digits of a small slope in a trace."""
    above = x > 0
    return torch.log1p(torch.exp(torch.where(above, -x, x))) + torch.where(above, x, 0.0)


def _over(total: Tensor, mask: Tensor | None, weights: Tensor | None, counted_as: Tensor) -> Tensor:
    """Return a sum over what its terms count for; where that is 0, it is 0, but NaN stays NaN: CE-14."""
    if weights is not None:
        counted_as = counted_as * in_arithmetic(weights, counted_as.dtype)
    if mask is not None:
        counted_as = counted_as.masked_fill(~mask, 0.0)
    over = counted_as.nan_to_num(nan=0.0).sum()
    nothing = over < torch.finfo(over.dtype).tiny
    return (total / over.masked_fill(nothing, 1.0)).masked_fill(nothing & ~total.isnan(), 0.0)


def _weighed(terms: Tensor, mask: Tensor | None, reduction: str, weights: Tensor) -> Tensor:
    """Return the reduction of weighed terms; nothing is left of a term of weight 0 (CV-41, CV-42)."""
    weights = weights.expand_as(terms)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    products = terms.masked_fill(weights == 0, 0.0) * weights  # CV-39
    if reduction == "none":
        return products
    if reduction == "mean_nonzero":
        weights = weights.masked_fill(terms.detach() <= 0, 0.0)
    return products.sum() if reduction == "sum" else products.sum() / total_weight(weights)  # CV-40
