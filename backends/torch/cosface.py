"""CosFace loss (spec/cosface.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import batch, in_range, real, table
from lossproof.backends.torch.class_weights import ClassWeights
from lossproof.backends.torch.cross_entropy import cross_entropy
from lossproof.backends.torch.distances import both_unit_rows
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.products import products
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice


def cosface_loss(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: float | Tensor = 64.0,
    margin: float | Tensor = 0.35,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the CosFace loss of rows.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * (cos(theta_y) - margin)`` for the label y, where theta_j
    is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32 or float64.
        labels: integers of shape (B,) in [0, C). Elsewhere: an error on the host, and on a device (or compiled) the
            term is NaN.
        class_weights: rows of shape (C, D), of any length; same dtype or a wider one.
        scale: [0, inf); a tensor of shape () is used as it is and not checked.
        margin: in the unit of the cosine, [0, inf); a tensor of shape () is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
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

    At kinks: a zero row has cosine 0 and gives and gets no gradient. Clauses CF-1 to CF-10, CE-1, CE-3, CE-4,
    CV-1 to CV-46, DD-1 to DD-19. Source: Wang et al. (2018), eq. 4.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    scale, margin = real("scale", scale, 0), real("margin", margin, 0)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    of_units = unit_weights(weights, mask, embeddings=embeddings)
    mask = weighing(mask, of_units)
    y, x = batch(mask, labels, class_weights, embeddings=embeddings)
    w = table("class_weights", class_weights, "embeddings", embeddings, x.dtype)
    y, legal = in_range(y, 0, w.shape[0] - 1, labels.dtype)

    cosine = products(*both_unit_rows(x, w))  # CF-2, CF-4
    at = y.unsqueeze(1)
    logits = scale * cosine.scatter(1, at, cosine.gather(1, at) - margin)  # CF-1, CF-3
    terms = cross_entropy(logits, y).masked_fill(~legal, torch.nan)  # CV-33
    return reduce(terms, mask, reduction, of_units, processes=processes)


class CosFaceLoss(ClassWeights):
    """`cosface_loss` as a module that holds the class weights as a parameter, (num_classes, embedding_dim).

    They start as random directions of about unit length. They may be wider than the embeddings, as under
    autocast; narrower ones are widened to the dtype of the embeddings.

    Args:
        num_classes: number of classes, at least 1.
        embedding_dim: length of a row of the embeddings.
        scale: [0, inf).
        margin: in the unit of the cosine, [0, inf).
        reduction: "none", "sum" or "mean" (over rows that take part).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.
        device: where the class weights are kept, as in every module of torch.
        dtype: dtype of the class weights, as in every module of torch.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import CosFaceLoss
        >>> loss = CosFaceLoss(num_classes=2, embedding_dim=2)
        >>> tuple(loss(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])).shape)
        ()
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        options = {"scale": scale, "margin": margin, "reduction": reduction}
        processes = {"process_group": process_group, "combine": combine, "check": check}
        super().__init__(cosface_loss, (num_classes, embedding_dim), options, processes, device, dtype)
