"""Cross-entropy loss (spec/cross_entropy.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import batch, in_range, real
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import (
    no_rows,
    of_class,
    of_module,
    unit_weights,
    weighing,
    weights_of_classes,
)
from lossproof.spec.arguments import REDUCTIONS, check_choice


def cross_entropy_loss(
    logits: Tensor,
    labels: Tensor,
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
    """Return the cross-entropy of rows of logits with the labels' classes.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) onehot(label) + label_smoothing / K``,
    and ``class_weights_k t_k`` in place of ``t_k`` where they are given.

    Args:
        logits: rows of shape (B, K), unscaled logarithms of probabilities; float16, bfloat16, float32 or float64.
        labels: integers of shape (B,) in [0, K). Elsewhere: an error on the host, and on a device (or compiled) the
            term is NaN.
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1]; a tensor of shape () is used
            as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the target
            gives to its class, and a mean divides by those of the labels, as `weight` of torch does. Others: an error
            on the host, and elsewhere each term is NaN. They are constants, and no table that is learned as in ArcFace.
        reduction: "none", "sum" or "mean" (over rows that take part).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 logits, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses CE-1 to CE-18, CV-1 to CV-46, DD-1 to DD-19.
    Source: Deng et al. (2019), eq. 1; smoothing: Szegedy et al. (2016), section 7.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # CE-6
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = unit_weights(weights, mask, logits=logits)
    mask = weighing(mask, w)
    y, z = batch(mask, labels, logits=logits)
    y, legal = in_range(y, 0, z.shape[1] - 1, labels.dtype)
    c = weights_of_classes(class_weights, z.dtype, logits=logits)
    terms = cross_entropy(z, y, smoothing, c).masked_fill(~legal, torch.nan)  # CV-33
    return reduce(terms, mask, reduction, w, counted_as=None if c is None else c[y], processes=processes)  # CE-14


def cross_entropy(
    z: Tensor, labels: Tensor, smoothing: float | Tensor = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Return the terms (B,) of logits (B, K) with legal labels."""
    place = labels.unsqueeze(-1)  # no product with a one-hot row: CE-7, CE-8
    if isinstance(smoothing, float) and smoothing == 0:
        costs = -torch.log_softmax(z, -1).gather(-1, place).squeeze(-1)  # CE-1, CE-3
        return costs if class_weights is None else of_class(class_weights[labels], costs)  # CE-13
    # Not log_softmax: its gradient adds the shares of K classes up, which round alike and lose digits (CV-16).
    below = z.detach().amax(-1, keepdim=True) - z  # CE-3
    total = (-below).exp().sum(-1).log()
    own, mean = total + below.gather(-1, place).squeeze(-1), total + below.mean(-1)
    if class_weights is not None:
        own = of_class(class_weights[labels], own)  # CE-13, CE-15, CE-16
        mean = of_class(class_weights, total.unsqueeze(-1) + below).mean(-1)
    return _share(1 - smoothing, own) + _share(smoothing, mean)  # CE-2, CE-4, CE-5, CE-9


def _share(weight: float | Tensor, x: Tensor) -> Tensor:
    """Return weight * x, and 0 for no weight: x may be infinite."""
    if isinstance(weight, float):
        return weight * x if weight else torch.zeros_like(x)
    return torch.where(weight > 0, weight * x, 0.0)


class CrossEntropyLoss(nn.Module):
    """`cross_entropy_loss` as a module: the options at construction, the logits, labels and mask in the call.

    Args:
        class_weights: floats of shape (K,), [0, inf), a buffer of the module, as `weight` of torch's own loss is.
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1].
        reduction: "none", "sum" or "mean" (over rows that take part).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import CrossEntropyLoss
        >>> loss = CrossEntropyLoss()
        >>> round(float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))), 3)
        0.693
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
        labels = torch.zeros(0, dtype=torch.int64, device=rows.device)
        cross_entropy_loss(rows, labels, class_weights=of_module(class_weights, rows), **options)
        self.register_buffer("class_weights", class_weights)

    def forward(
        self, logits: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see `cross_entropy_loss`."""
        options = {"label_smoothing": self.label_smoothing, "reduction": self.reduction, **self.processes}
        of_classes = of_module(self.class_weights, logits)
        return cross_entropy_loss(logits, labels, mask=mask, weights=weights, class_weights=of_classes, **options)

    def extra_repr(self) -> str:
        """Return the options, for the printed module."""
        return f"label_smoothing={self.label_smoothing!r}, reduction={self.reduction!r}"
