"""Reductions: from terms to the loss, and the weight of each term in it (spec/conventions.md)."""

from __future__ import annotations

import numpy as np

from lossproof.reference.typing import Array


def weights(terms: Array, mask: Array | None, reduction: str) -> Array:
    """Return d loss / d term, 0 for a term that takes no part; for "none", the weights of the identity."""
    takes_part = np.ones(terms.shape, bool) if mask is None else mask  # CV-7
    weight: Array = takes_part.astype(terms.dtype)
    if reduction in ("none", "sum"):  # CV-1, CV-2
        return weight
    counted = takes_part
    if reduction == "mean_nonzero":  # CV-4; a NaN term is counted, CV-10
        counted = takes_part & ~(terms <= 0)
    return np.asarray(weight / max(np.count_nonzero(counted), 1))  # CV-3; over nothing, CV-5 and CV-6


def reduce(terms: Array, mask: Array | None, reduction: str) -> Array:
    """Return the loss: the terms themselves ("none"), or their weighted sum."""
    if mask is not None:
        terms = np.where(mask, terms, 0)  # CV-8
    if reduction == "none":
        return terms
    return np.asarray(np.sum(terms * weights(terms, mask, reduction)))
