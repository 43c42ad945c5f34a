"""ArcFace loss (spec/arcface.md)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import batch, describe, in_range, real, rows, rows_at, table
from lossproof.backends.torch.class_weights import ClassWeights
from lossproof.backends.torch.cross_entropy import cross_entropy
from lossproof.backends.torch.distances import both_unit_rows
from lossproof.backends.torch.distributed import Group, agreed, joined
from lossproof.backends.torch.products import products
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_batch, check_choice

BEYOND_PI = ("keep", "linear", "continuous")


def arcface_loss(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: float | Tensor = 64.0,
    margin: float | Tensor = 0.5,
    beyond_pi: str = "keep",
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the ArcFace loss of rows.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * cos(theta_y + margin)`` for the label y, where theta_j is
    the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32 or float64.
        labels: integers of shape (B,) in [0, C). Elsewhere: an error on the host, and on a device (or compiled) the
            term is NaN.
        class_weights: rows of shape (C, D), of any length; same dtype or a wider one.
        scale: [0, inf); a tensor of shape () is used as it is and not checked.
        margin: in radians, [0, pi]; a tensor of shape () is used as it is and not checked.
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes
            ``cos(theta) - margin sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
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

    At kinks: gradient 0 of the label's logit where the angle is 0 or pi; a zero row has cosine 0 and gives and gets no
    gradient. Clauses AF-1 to AF-17, CE-1, CE-3, CE-4, CV-1 to CV-46, DD-1 to DD-19. Source: Deng et al. (2019), eq. 3.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    scale, margin = real("scale", scale, 0), real("margin", margin, 0, high=math.pi)  # AF-15
    check_choice("beyond_pi", beyond_pi, BEYOND_PI)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    of_units = unit_weights(weights, mask, embeddings=embeddings)
    mask = weighing(mask, of_units)
    y, x = batch(mask, labels, class_weights, embeddings=embeddings)
    w = table("class_weights", class_weights, "embeddings", embeddings, x.dtype)
    y, legal = in_range(y, 0, w.shape[0] - 1, labels.dtype)

    x, w = both_unit_rows(x, w)  # AF-2
    cosine = products(x, w)
    own = _label_cosine(x, rows_at(w, y), margin, beyond_pi)
    logits = scale * cosine.scatter(1, y.unsqueeze(1), own.unsqueeze(1))  # AF-1
    terms = cross_entropy(logits, y).masked_fill(~legal, torch.nan)  # CV-33
    return reduce(terms, mask, reduction, of_units, processes=processes)


def arcface_logits(embeddings: Tensor, class_weights: Tensor, *, scale: float | Tensor = 64.0) -> Tensor:
    """Return the logits of rows without a margin, by which one classifies.

    ``scale * cos(theta_j)``, where theta_j is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32 or float64.
        class_weights: rows of shape (C, D), of any length; same dtype or a wider one.
        scale: [0, inf); a tensor of shape () is used as it is and not checked.

    Returns:
        The logits, of shape (B, C); float64 if an input is float64, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A zero row has logit 0 with every row, and gives and gets no gradient. Clauses AF-18 to AF-22.
    Source: Deng et al. (2019).
    """
    scale = real("scale", scale, 0)  # AF-21
    check_batch("embeddings", *describe("embeddings", embeddings))
    (x,) = rows(None, class_weights, embeddings=embeddings)
    w = table("class_weights", class_weights, "embeddings", embeddings, x.dtype)
    return scale * products(*both_unit_rows(x, w))  # AF-18, AF-19, AF-20


def _label_cosine(x: Tensor, w: Tensor, margin: float | Tensor, beyond_pi: str) -> Tensor:
    """Return cos(theta + margin), or what stands for it past pi, for each row of x and the same row of w."""
    cos_m, sin_m = _cosine_and_sine(margin)  # AF-3
    cosine = (x * w).sum(-1)
    away = x - cosine.unsqueeze(-1) * w
    square = (away * away).sum(-1)
    flat = square == 0  # no gradient there: AF-13
    sine = square.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0)  # AF-4, AF-11
    sine = sine.masked_fill(_zero(x) | _zero(w), 1.0)  # AF-9, AF-14
    added = cosine * cos_m - sine * sin_m
    if beyond_pi == "keep":
        return added  # AF-5
    shift = -margin * sin_m if beyond_pi == "linear" else cos_m - 1  # AF-6, AF-7
    return torch.where(cosine < -cos_m, cosine + shift, added)  # AF-8, AF-12


def _cosine_and_sine(angle: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
    return (angle.cos(), angle.sin()) if isinstance(angle, Tensor) else (math.cos(angle), math.sin(angle))


def _zero(unit: Tensor) -> Tensor:
    return (unit.detach() == 0).all(-1)


class ArcFaceLoss(ClassWeights):
    """`arcface_loss` as a module that holds the class weights as a parameter, (num_classes, embedding_dim).

    They start as random directions of about unit length. They may be wider than the embeddings, as under
    autocast; narrower ones are widened to the dtype of the embeddings.

    Args:
        num_classes: number of classes, at least 1.
        embedding_dim: length of a row of the embeddings.
        scale: [0, inf).
        margin: in radians, [0, pi].
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes ``cos(theta) - margin
            sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
        reduction: "none", "sum" or "mean" (over rows that take part).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.
        device: where the class weights are kept, as in every module of torch.
        dtype: dtype of the class weights, as in every module of torch.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import ArcFaceLoss
        >>> loss = ArcFaceLoss(num_classes=2, embedding_dim=2)
        >>> tuple(loss(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])).shape)
        ()
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        beyond_pi: str = "keep",
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        options = {"scale": scale, "margin": margin, "beyond_pi": beyond_pi, "reduction": reduction}
        processes = {"process_group": process_group, "combine": combine, "check": check}
        super().__init__(arcface_loss, (num_classes, embedding_dim), options, processes, device, dtype)
