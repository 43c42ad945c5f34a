"""Weights of units: checked, constant, and NaN where they are no weights (spec/conventions.md)."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import as_wide, describe, on_host, same_device
from lossproof.backends.torch.distributed import Processes, over
from lossproof.spec.arguments import check_class_weights, check_mask, check_weight_range, check_weights


def unit_weights(weights: Tensor | None, mask: Tensor | None, **rows: Tensor) -> Tensor | None:
    """Return weights, one a unit of rows (..., D), 0 where the mask says so; None without any.

    A number that is no weight is an error on the host; elsewhere it becomes NaN.
    """
    if weights is None:
        return None
    ((name, value),) = rows.items()
    shape, dtype = describe(name, value)
    check_weights("weights", *describe("weights", weights), shape[:-1], name, dtype)  # CV-45
    same_device("weights", weights, name, value)
    weights = weights.detach()  # CV-44
    if mask is not None:
        check_mask("mask", *describe("mask", mask), shape[:-1])  # CV-29, CV-30
        weights = weights.masked_fill(~mask, 0.0)
    if on_host(weights) and weights.numel():
        check_weight_range("weights", float(weights.min()), float(weights.max()))  # CV-46
        return weights
    return weights.masked_fill(~((weights >= 0) & (weights < inf)), torch.nan)


def weights_of_classes(class_weights: Tensor | None, dtype: torch.dtype, **rows: Tensor) -> Tensor | None:
    """Return weights (K,) of the classes of logits (B, K) in the dtype of the arithmetic; None without any.

    A number that is no weight is an error on the host; elsewhere it makes all of them NaN.
    """
    if class_weights is None:
        return None
    ((name, value),) = rows.items()
    shape, own = describe(name, value)
    check_class_weights("class_weights", *describe("class_weights", class_weights), shape[-1], name, own)  # CE-17
    same_device("class_weights", class_weights, name, value)
    class_weights = class_weights.detach()  # CE-15, ST-19
    if on_host(class_weights):
        check_weight_range("class_weights", float(class_weights.min()), float(class_weights.max()))  # CE-18, ST-22
        return in_arithmetic(class_weights, dtype)
    wild = ~((class_weights >= 0) & (class_weights < inf)).all()
    return in_arithmetic(class_weights, dtype).masked_fill(wild, torch.nan)


def of_module(class_weights: Tensor | None, logits: Tensor) -> Tensor | None:
    """Return the class weights of a module, as wide as the logits: the module is theirs, and widens them."""
    if not isinstance(class_weights, Tensor) or not class_weights.is_floating_point():
        return class_weights  # refused by the function, unless there are none
    return as_wide(logits, class_weights)[0]


def no_rows(class_weights: Tensor | None) -> Tensor:
    """Return logits (0, K) for class weights (K,), to see whether options are legal."""
    if not isinstance(class_weights, Tensor) or not class_weights.ndim:
        return torch.zeros(0, 1)
    return torch.zeros(0, max(class_weights.shape[0], 1), device=class_weights.device)


def of_class(class_weights: Tensor, costs: Tensor) -> Tensor:
    """Return class weights times costs: 0 for a weight of 0, also where a class cannot be (CE-16), but not for NaN."""
    return class_weights * costs.masked_fill((class_weights == 0) & (costs == inf), 0.0)


def weighing(mask: Tensor | None, weights: Tensor | None) -> Tensor | None:
    """Return the mask of the units that weigh something, where each has rows of its own: CV-41, CV-42."""
    return mask if weights is None else weights != 0


def in_arithmetic(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Return weights in the dtype of the arithmetic, cut off where no sum of them overflows (CV-19)."""
    return weights.to(dtype).clamp(max=2.0**-2 * torch.finfo(dtype).max ** 0.5)


def total_weight(weights: Tensor, processes: Processes | None = None) -> Tensor:
    """Return the sum of weights, by which a mean divides; 1 where it is 0 (CV-43), and NaN adds nothing (CV-46)."""
    total = over(processes, weights.nan_to_num(nan=0.0).sum())
    return total.masked_fill(total < torch.finfo(total.dtype).tiny, 1.0)  # a subnormal sum has an infinite inverse
