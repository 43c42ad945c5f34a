"""Verification (spec/verification.md): rates and accuracy of accepted pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import arithmetic, describe, on_host, real, same_device
from lossproof.spec.arguments import check_ascending, check_distances, check_mask, check_thresholds


def verification_rates(distances: Tensor, same: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
    """Return the validation rate and the false accept rate at each threshold.

    ``VAL(t)`` is the share of same pairs, and ``FAR(t)`` that of different pairs, with ``distance <= t``.

    Args:
        distances: of shape (N,); float16, bfloat16, float32 or float64.
        same: booleans of shape (N,); True for a pair of one identity.
        thresholds: one number, or ascending numbers of shape (T,), in the unit and dtype of the distances; values on
            a device are not read back, and there each threshold stands for itself.

    Returns:
        VAL and FAR, each of the shape of `thresholds`; NaN over no pairs, or where a distance of the kind is NaN;
        float64 for float64 distances, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Without gradient. Time O((N + T) log N), memory O(N + T). Clauses VE-1 to VE-8, VE-12.
    Source: Schroff et al. (2015), section 4.
    """
    pairs = _Pairs(distances, same)
    return pairs.rates(_thresholds(thresholds, distances))


def verification_accuracy(distances: Tensor, same: Tensor, thresholds: Tensor) -> Tensor:
    """Return the share of pairs that are judged rightly at each threshold: same accepted, different rejected.

    Arguments and errors as in `verification_rates`; NaN over no pairs, or where a distance is NaN. Clause VE-9.
    """
    pairs = _Pairs(distances, same)
    return pairs.accuracy(_thresholds(thresholds, distances))


def best_accuracy(distances: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return the greatest accuracy over all thresholds, and the lowest threshold that reaches it.

    The candidates are -inf and the distances themselves. Arguments and errors as in `verification_rates`; both are NaN
    over no pairs, or where a distance is NaN. A threshold chosen on the pairs it is judged with flatters. Clause VE-10.
    """
    pairs = _Pairs(distances, same)
    candidates = pairs.candidates()
    first = pairs.right(candidates).argmax()  # the first of those that tie
    accuracy = pairs.accuracy(candidates).take(first)  # an index in brackets would be read by the host
    return accuracy, candidates.take(first).masked_fill(accuracy.isnan(), torch.nan)


def val_at_far(distances: Tensor, same: Tensor, *, far: float | Tensor = 1e-3) -> tuple[Tensor, Tensor]:
    """Return VAL at the largest distance whose FAR is at most `far`, and that distance: "VAL at FAR 1e-3".

    `far` is in [0, 1]; a tensor of shape () is used as it is. Where every distance accepts too many,
    VAL is 0 and the threshold -inf; both are NaN without same or different pairs, or where a distance is NaN.
    Other arguments and errors as in `verification_rates`. Clause VE-11.
    """
    far = real("far", far, 0, high=1)
    pairs = _Pairs(distances, same)
    candidates = pairs.candidates()
    val, rates = pairs.rates(candidates)
    far = torch.as_tensor(far, dtype=rates.dtype, device=rates.device)
    last = ((rates <= far).sum() - 1).clamp(min=0)  # FAR does not fall along the candidates
    undefined = (val + rates).isnan().any()
    return val.take(last).masked_fill(undefined, torch.nan), candidates.take(last).masked_fill(undefined, torch.nan)


class _Pairs:
    """Pairs sorted by their distance, with how many of each kind are among the nearest k, k = 0 to N."""

    def __init__(self, distances: Tensor, same: Tensor) -> None:
        shape, dtype = describe("distances", distances)
        check_distances(shape, dtype)  # VE-7
        check_mask("same", *describe("same", same), shape)
        same_device("same", same, "distances", distances)
        distances = distances.detach().to(arithmetic(distances))
        self.sorted, order = torch.sort(distances)
        alike = torch.stack([same, ~same])
        self.nearest = torch.nn.functional.pad(alike[:, order].cumsum(1), (1, 0))  # VE-5: integers
        self.total = alike.sum(1)
        self.undefined = (alike & distances.isnan()).any(1)

    def accepted(self, thresholds: Tensor) -> Tensor:
        """Return the number of pairs of each kind with a distance of at most the threshold (VE-2)."""
        known = self.sorted.masked_fill(self.sorted.isnan(), torch.inf)  # a binary search that meets NaN goes astray
        return self.nearest[:, torch.searchsorted(known, thresholds, right=True)]

    def rates(self, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """VE-1, VE-3, VE-4."""
        shares = self.accepted(thresholds.reshape(-1)).to(thresholds.dtype) / self.total.unsqueeze(1)  # 0 / 0 is NaN
        shares = shares.masked_fill(self.undefined.unsqueeze(1), torch.nan).reshape(2, *thresholds.shape)
        val, far = shares.masked_fill(thresholds.isnan(), torch.nan)
        return val, far

    def right(self, thresholds: Tensor) -> Tensor:
        """Return how many pairs are judged rightly."""
        same, different = self.accepted(thresholds)
        right: Tensor = same + self.total[1] - different
        return right

    def accuracy(self, thresholds: Tensor) -> Tensor:
        """VE-9."""
        shares = self.right(thresholds.reshape(-1)).to(thresholds.dtype).reshape(thresholds.shape) / self.total.sum()
        return shares.masked_fill(self.undefined.any() | thresholds.isnan(), torch.nan)

    def candidates(self) -> Tensor:
        """Return -inf and the distances, ascending."""
        return torch.nn.functional.pad(self.sorted, (1, 0), value=-torch.inf)


def _thresholds(thresholds: Tensor, distances: Tensor) -> Tensor:
    shape, dtype = describe("thresholds", thresholds)
    check_thresholds(shape, dtype, describe("distances", distances)[1])  # VE-6
    same_device("thresholds", thresholds, "distances", distances)
    t = thresholds.detach().to(arithmetic(thresholds))
    if on_host(t):
        check_ascending(not t.ndim or bool((t[1:] >= t[:-1]).all()), bool(t.isnan().any()))
    return t.contiguous()
