"""The triplets of a plain call of batch all, counted in a pass over the distances for each positive."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lossproof.backends.torch.gram import Gram


class Counts(NamedTuple):
    """How many triplets of each anchor are active, and what its distances add up to in them."""

    sums: Tensor  # (B,), of d(a, p) - d(a, n), with gradient
    active: Tensor  # (B,)


def counted(found: Gram, margin: float | Tensor) -> Counts:
    """Return the sums over the active triplets: a distance counts as often as it is in one, negatives with a minus."""
    near = found.between(found.column)
    threshold = (margin + near).detach().masked_fill(~found.valid, -torch.inf)
    of_positives, sums = torch.empty_like(near), near.new_empty(len(near))
    slopes = near.new_zeros(len(near), len(near))
    for some, d in found.blocks():
        d.scatter_(1, found.column[some], torch.inf)  # BA-2: what is left are negatives
        of_negatives, closer = slopes[some], torch.empty_like(d)
        for k in range(near.shape[1]):
            torch.lt(d, threshold[some, k : k + 1], out=closer)  # BA-6
            of_negatives -= closer
            of_positives[some, k] = closer.sum(1)
        d.clamp_(max=torch.finfo(d.dtype).max)
        sums[some] = _sums(d, of_negatives, near[some], of_positives[some])
        found.slopes(of_negatives, d)  # BA-5
    active = of_positives.long().sum(1)  # BA-15
    slopes.scatter_(1, found.column, found.slopes(of_positives, near))
    return Counts(found.known(sums, slopes).masked_fill(active == 0, 0.0), active)  # and no gradient, whatever comes


def _sums(d: Tensor, of_negatives: Tensor, near: Tensor, of_positives: Tensor) -> Tensor:
    """Return the sums of distances by their counts, which add up to 0: less a mean, they round as differences do."""
    total = (near * of_positives).sum(1) - (d * of_negatives).sum(1)
    center = (total / (2 * of_positives.sum(1)).clamp(min=1)).unsqueeze(1)
    return ((near - center) * of_positives).sum(1) + (d - center).mul_(of_negatives).sum(1)
