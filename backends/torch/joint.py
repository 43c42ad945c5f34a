"""Joint loss (spec/joint.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import arithmetic, as_wide, describe, real, same_device
from lossproof.backends.torch.batch_hard import batch_hard_triplet_loss
from lossproof.backends.torch.center import center_loss
from lossproof.backends.torch.cross_entropy import cross_entropy_loss
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.weights import in_arithmetic, unit_weights
from lossproof.spec.arguments import check_as_wide, check_batch, check_classes


def joint_loss(
    logits: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    triplet_weight: float | Tensor = 1.0,
    center_weight: float | Tensor = 5e-4,
    triplet_margin: float | Tensor = 0.3,
    label_smoothing: float | Tensor = 0.1,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    process_group: Group | None = None,
    combine: str = "mean",
    sizes: Sequence[int] | None = None,
    check: bool = False,
) -> Tensor:
    """Return the joint loss of re-identification.

    ``cross_entropy + triplet_weight * batch_hard + center_weight * mean |x - c_y|^2``, each a mean of its own.

    Args:
        logits: rows of shape (B, K); float16, bfloat16, float32 or float64.
        embeddings: rows of shape (B, D), same dtype or a narrower one.
        labels: integers of shape (B,) in [0, K). Elsewhere: an error on the host, and on a device (or compiled) the
            loss is NaN.
        centers: one row for each class, (K, D), in the dtype of the embeddings or a wider one.
        triplet_weight: [0, inf); this and the other numbers may be tensors of shape (), used as they are, not checked.
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies the terms of its
            row in all three parts, and each mean divides by its own sum of them. Others: an error on the host, and on a
            device (or compiled) the loss is NaN.
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them, or
            in a compiled call as many as here.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss, of shape (); float64 if an input is float64, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Kinks are those of the parts. Clauses JO-1 to JO-10, with CE-1, CE-2, BH-1, BH-2, CN-1; CV-1 to CV-46, DD-1 to
    DD-19. Source: Luo et al. (2019), eq. 5.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    triplet_weight, center_weight = real("triplet_weight", triplet_weight, 0), real("center_weight", center_weight, 0)
    margin = real("triplet_margin", triplet_margin, 0)  # CV-28
    shape_x, dtype_x = describe("embeddings", embeddings)
    check_batch("embeddings", shape_x, dtype_x)  # CV-34
    (shape, dtype), (shape_c, dtype_c) = describe("logits", logits), describe("centers", centers)
    check_batch("logits", shape, dtype)
    check_as_wide("logits", dtype, "embeddings", dtype_x)  # CV-26
    check_as_wide("centers", dtype_c, "embeddings", dtype_x)
    check_classes("centers", shape_c, shape[1])  # JO-8
    same_device("logits", logits, "embeddings", embeddings)
    w = unit_weights(weights, mask, embeddings=embeddings)  # CV-45
    wide = arithmetic(logits, embeddings, centers)  # once, so that a gradient is rounded once: CV-16
    logits, embeddings, centers = (value.to(wide) for value in (logits, embeddings, centers))
    units: dict[str, Any] = {"mask": mask, "weights": None if w is None else in_arithmetic(w, wide)}  # JO-10
    units.update(process_group=process_group, combine=combine)
    own = cross_entropy_loss(logits, labels, label_smoothing=label_smoothing, **units)  # JO-2
    triplet = batch_hard_triplet_loss(embeddings, labels, margin=margin, sizes=sizes, **units)  # JO-3
    center = center_loss(embeddings, labels, centers, factor=1.0, **units)  # JO-4
    return own + triplet_weight * triplet + center_weight * center  # JO-1, JO-5, JO-7


class JointLoss(nn.Module):
    """`joint_loss` as a module that holds the centers as a parameter, standard normal at first.

    The centers and the logits may be wider than the embeddings; narrower ones, as under autocast, are widened to the
    dtype of the embeddings.

    Args:
        num_classes: number of classes, at least 1.
        num_features: length of a row of the embeddings.
        triplet_weight: [0, inf).
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.
        device: where the centers are kept, as in every module of torch.
        dtype: dtype of the centers, as in every module of torch.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import JointLoss
        >>> loss = JointLoss(num_classes=2, num_features=2)
        >>> tuple(loss(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])).shape)
        ()
    """

    centers: nn.Parameter

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        triplet_weight: float = 1.0,
        center_weight: float = 5e-4,
        triplet_margin: float = 0.3,
        label_smoothing: float = 0.1,
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "triplet_weight": triplet_weight, "center_weight": center_weight, "triplet_margin": triplet_margin,
            "label_smoothing": label_smoothing,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        self.centers = nn.Parameter(torch.randn(num_classes, num_features, device=device, dtype=dtype))
        row = torch.zeros(1, 1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here
        joint_loss(row, row, torch.zeros(1, dtype=torch.long), row, **legal)

    def forward(
        self,
        logits: Tensor,
        embeddings: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        sizes: Sequence[int] | None = None,
    ) -> Tensor:
        """Return the loss of the rows; see `joint_loss`."""
        logits, centers = as_wide(embeddings, logits, self.centers)
        options = {**self.options, **self.processes, "sizes": sizes}
        return joint_loss(logits, embeddings, labels, centers, mask=mask, weights=weights, **options)

    def extra_repr(self) -> str:
        """Return the size of the table and the options, for the printed module."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{', '.join(map(str, self.centers.shape))}, {options}"
