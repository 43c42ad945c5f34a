"""The pairs of a batch: positives, negatives and their distance (spec/pairwise.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.backends.torch.distances import row_distance


def candidates(labels: Tensor, mask: Tensor | None, *, include_self: bool = False) -> tuple[Tensor, Tensor]:
    """Return which rows are positives and which are negatives of each anchor, (B, B) each: PW-2."""
    same = labels.unsqueeze(1) == labels  # CV-32
    positive, negative = same, ~same
    if not include_self:
        positive = same & ~torch.eye(labels.shape[0], dtype=torch.bool, device=labels.device)
    if mask is not None:
        both = mask.unsqueeze(1) & mask
        positive, negative = positive & both, negative & both
    return positive, negative


def floored_distance(x: Tensor, y: Tensor, distance: str, floor: float) -> Tensor:
    """Return the distance of each row of x from the same row of y, raised to its floor: PW-1, PW-3, PW-4."""
    if floor and distance == "euclidean":
        return row_distance(x, y, "p_norm", 2.0, floor, "floor")
    d = row_distance(x, y, distance, 2.0, 0.0, "difference")
    return torch.where(d <= floor, floor, d) if floor else d


def mining_distances(rows: Tensor, distance: str) -> Tensor:
    """Return numbers (B, B) in the order of the distances, from differences of rows; they have no gradient."""
    rows = rows.detach()
    if distance == "cosine":
        return 1 - _products(units(rows))
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def units(rows: Tensor) -> Tensor:
    """Return rows of length 1, and zeros for a zero row, which gives no gradient: DI-10, DI-18."""
    largest = rows.detach().abs().amax(-1, keepdim=True)
    rows = rows / largest.masked_fill(largest < torch.finfo(rows.dtype).tiny, 1.0)
    square = (rows * rows).sum(-1, keepdim=True)
    zero = square == 0
    return (rows / square.masked_fill(zero, 1.0).sqrt()).masked_fill(zero, 0.0)


def _products(rows: Tensor) -> Tensor:
    """Return the inner products of every two rows, summed in float64, which no ambient switch makes coarser: CV-20."""
    if rows.device.type == "mps":  # has no float64
        return (rows @ rows.T).to(rows.dtype)
    wide = rows.double()
    return (wide @ wide.T).to(rows.dtype)


def poisoned(terms: Tensor, rows: Tensor) -> Tensor:
    """Return NaN for every term if a row that takes part holds NaN: each is a candidate of every anchor (PW-5)."""
    return terms.masked_fill(rows.detach().isnan().any(), torch.nan)
