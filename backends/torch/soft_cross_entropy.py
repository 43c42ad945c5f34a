"""Soft cross-entropy loss (spec/soft_cross_entropy.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import describe, on_host, real, rows, same_device
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import no_rows, of_module, unit_weights, weighing, weights_of_classes
from lossproof.spec.arguments import REDUCTIONS, check_batch, check_choice, check_target_range, check_targets


def soft_cross_entropy_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float | Tensor = 0.0,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    class_weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the cross-entropy of rows of logits with targets that are probabilities.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) targets + label_smoothing / K``,
    and ``class_weights_k t_k`` in place of ``t_k`` where they are given.

    Args:
        logits: rows of shape (B, K), unscaled logarithms of probabilities; float16, bfloat16, float32 or float64.
        targets: rows of shape (B, K), same dtype or a wider one, [0, inf]; a row need not add up to 1. A negative
            one is an error on the host, and on a device (or compiled) the term is NaN.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1]; a tensor of shape () is
            used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the targets
            give to its class. A mean does not divide by them, as with `weight` of torch. Others: an error on the host,
            and elsewhere each term is NaN. They are constants, and no table that is learned as in ArcFace.
        reduction: "none", "sum" or "mean" (over rows that take part).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is float64, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses ST-1 to ST-22, CV-1 to CV-46, DD-1 to DD-19.
    Source: Hinton et al. (2015), eq. 2; smoothing: Szegedy et al. (2016), section 7.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # ST-8
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    shape, dtype = describe("logits", logits)
    check_batch("logits", shape, dtype)  # CV-34
    check_targets(*describe("targets", targets), shape, dtype)  # ST-14
    same_device("targets", targets, "logits", logits)
    w = unit_weights(weights, mask, logits=logits)
    mask = weighing(mask, w)
    (z,) = rows(mask, targets, logits=logits)
    t = targets.to(z.dtype)
    if mask is not None:
        t = t.masked_fill(~mask.unsqueeze(-1), 0.0)  # CV-8, CV-9
    negative = t < 0
    if on_host(t) and negative.any():
        check_target_range(float(t.detach()[negative].min()))
    c = weights_of_classes(class_weights, z.dtype, logits=logits)
    terms = soft_cross_entropy(z, t, smoothing, c).masked_fill(negative.any(-1), torch.nan)  # ST-15
    return reduce(terms, mask, reduction, w, processes=processes)


def soft_cross_entropy(
    z: Tensor, targets: Tensor, smoothing: float | Tensor = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Return the terms (B,) of logits and targets (B, K)."""
    limit = torch.finfo(z.dtype).max ** 0.5  # beyond the domain: CV-19
    spread = z.new_ones(()) * smoothing / z.shape[-1]  # a tensor first: a trace rounds a number over a size to float32
    shares = (1 - smoothing) * targets.clamp(max=limit) + spread  # ST-2, ST-3, ST-7
    if class_weights is not None:
        shares = (class_weights * shares).clamp(max=limit)  # ST-17
    cost = -torch.log_softmax(z, -1)  # ST-4
    impossible = torch.isneginf(z)
    left_out = impossible & (shares == 0)  # no product of 0 and infinity: ST-9, ST-10, ST-20
    cost = torch.where(impossible, cost, cost.clamp(max=limit)).masked_fill(left_out, 0.0)
    return (shares * cost).sum(-1)  # ST-1, ST-5, ST-6, ST-11


class SoftCrossEntropyLoss(nn.Module):
    """`soft_cross_entropy_loss` as a module: the options at construction, the logits, targets and mask in the call.

    Args:
        class_weights: floats of shape (K,), [0, inf), a buffer of the module, as `weight` of torch's own loss is.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1].
        reduction: "none", "sum" or "mean" (over rows that take part).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import SoftCrossEntropyLoss
        >>> loss = SoftCrossEntropyLoss()
        >>> round(float(loss(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.25, 0.75]]))), 3)
        0.627
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
    ) -> None:
        super().__init__()
        self.label_smoothing, self.reduction = label_smoothing, reduction
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        rows = no_rows(class_weights)  # an illegal option is refused here
        options: dict[str, Any] = {"label_smoothing": label_smoothing, "reduction": reduction, "combine": combine}
        soft_cross_entropy_loss(rows, rows, class_weights=of_module(class_weights, rows), **options)
        self.register_buffer("class_weights", class_weights)

    def forward(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see `soft_cross_entropy_loss`."""
        options = {"label_smoothing": self.label_smoothing, "reduction": self.reduction, **self.processes}
        of_classes = of_module(self.class_weights, logits)
        return soft_cross_entropy_loss(logits, targets, mask=mask, weights=weights, class_weights=of_classes, **options)

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return f"label_smoothing={self.label_smoothing!r}, reduction={self.reduction!r}"
