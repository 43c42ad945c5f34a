"""What re-identification code shares: distances by a matrix product above a floor, and whose labels are alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FLOOR = 1e-12  # of a squared distance
FORMATS = ["float32", "float64"]  # what the repositories were written for
MARGINS = [0.25, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 64.0]  # where 0 and none mean a soft margin


def floored(rows: Tensor) -> Tensor:
    """Return the distances of all pairs of rows: the root of x² + y² - 2xy, where that is at least the floor."""
    squares = rows.square().sum(dim=1)
    return (squares[:, None] + squares - 2 * rows @ rows.T).clamp(min=FLOOR).sqrt()


def alike(labels: Tensor) -> Tensor:
    """Return which pairs of rows have one label; each row is alike itself."""
    return labels[:, None] == labels


def ranked(near: Tensor, far: Tensor, margin: float) -> Tensor:
    """Return the mean hinge of margin_ranking_loss, where the second distance is to be larger than the first."""
    return functional.margin_ranking_loss(far, near, torch.ones_like(far), margin=margin)


def softly(near: Tensor, far: Tensor) -> Tensor:
    """Return the mean of soft_margin_loss, log(1 + exp(near - far)), which overflows."""
    return functional.soft_margin_loss(far - near, torch.ones_like(far))
