"""Reductions: from terms to the loss (spec/conventions.md)."""

from __future__ import annotations

import torch
from torch import Tensor


def reduce(terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    """Return the terms ("none"), their sum, or their mean over those that take part, or are also positive."""
    if mask is not None:
        terms = terms.masked_fill(~mask, 0.0)  # CV-1, CV-7
    if reduction == "none":
        return terms
    total = terms.sum()
    if reduction == "sum":
        return total  # CV-2
    if reduction == "mean" and mask is None:
        return total / max(terms.numel(), 1)  # CV-3, CV-5
    counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
    if reduction == "mean_nonzero":
        counted = counted & ~(terms.detach() <= 0)  # CV-4; NaN is counted, CV-10
    return total / counted.sum().clamp(min=1)
