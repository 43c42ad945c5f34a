"""The negatives of a plain call of semi-hard, chosen in a few passes over the distances for each positive."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.backends.torch.gram import Gram


def semi_hard_negatives(found: Gram) -> Tensor:
    """Return for each positive the nearest negative that is farther, or the farthest where none is: (B, K)."""
    chosen = torch.empty_like(found.column)
    for some, d in found.blocks():
        near = d.gather(1, found.column[some])  # of the same products, so that equal rows tie: SH-2
        near.masked_fill_(~found.valid[some], 0.0)  # anything is farther than no positive
        d.scatter_(1, found.column[some], torch.inf)  # what is left are negatives
        nearer, beyond_all = torch.empty_like(d), torch.finfo(d.dtype).max  # no distance comes near it
        for k in range(near.shape[1]):
            torch.le(d, near[:, k : k + 1], out=nearer)
            least, chosen[some, k] = _least(torch.add(d, nearer, alpha=beyond_all, out=nearer))
            none = (least >= beyond_all).nonzero()[:, 0]
            if len(none):
                far = d[none]
                chosen[none + some.start, k] = far.masked_fill(far == torch.inf, -torch.inf).argmax(1)  # SH-3, SH-8
    return chosen


def _least(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least number of each row and its first column, in place of the others: torch's argmin is slower."""
    count = numbers.shape[1]
    falling = torch.arange(count, 0, -1, dtype=numbers.dtype, device=numbers.device)
    least = numbers.amin(1, keepdim=True)
    from_end = torch.eq(numbers, least, out=numbers).mul_(falling).amax(1)  # SH-8
    return least, count - from_end.long()
