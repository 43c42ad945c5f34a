"""Tensors at the door: what the argument checks need to know of them, and the dtype of the arithmetic."""

from __future__ import annotations

from functools import reduce
from math import inf
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lossproof.spec.arguments import (
    check_batch,
    check_label_range,
    check_labels,
    check_mask,
    check_real,
    check_rows,
    check_scalar,
    check_table,
    refuse_type,
)

_NAMES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bool: "bool",
}


def describe(name: str, value: Any) -> tuple[tuple[int, ...], str]:
    """Return shape and dtype name of a tensor; TypeError for anything else."""
    if not isinstance(value, Tensor):
        refuse_type(name, "be a torch.Tensor", value)
    return tuple(value.shape), _NAMES.get(value.dtype) or str(value.dtype).removeprefix("torch.")


def rows(mask: Tensor | None, **inputs: Tensor) -> list[Tensor]:
    """Check rows (..., D) and their mask; return the rows in the dtype of the arithmetic, masked ones as zeros."""
    described = {name: describe(name, value) for name, value in inputs.items()}
    check_rows(described)  # CV-24, CV-25, CV-26
    shape, dtype = next(iter(described.values()))
    if mask is not None:
        check_mask(*describe("mask", mask), shape[:-1])  # CV-29, CV-30
    arithmetic = torch.float64 if dtype == "float64" else torch.float32  # CV-17, CV-18
    values = [value.to(arithmetic) for value in inputs.values()]
    if mask is None:
        return values
    return [value.masked_fill(~mask.unsqueeze(-1), 0.0) for value in values]  # CV-8, CV-9


def real(name: str, value: float | Tensor, low: float, *, high: float = inf, above: bool = False) -> float | Tensor:
    """Check a number on the host, [low, inf) or as `check_real` says; a tensor of shape () is not read."""
    if isinstance(value, Tensor):
        check_scalar(name, tuple(value.shape))
        return value
    check_real(name, value, low, high=high, above=above)  # CV-28
    return value if isinstance(value, float) or not isinstance(value, Real) else float(value)


def batch(mask: Tensor | None, labels: Tensor, **embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Check one batch (B, D) with its labels and mask; return labels as int64 and rows in the arithmetic's dtype.

    Rows that are masked out are zeros with label 0.
    """
    ((name, value),) = embeddings.items()
    shape, dtype = describe(name, value)
    check_batch(name, shape, dtype)  # CV-34
    check_labels("labels", *describe("labels", labels), shape[0])  # CV-31
    (rows_,) = rows(mask, **embeddings)
    labels = labels.long()
    return (labels if mask is None else labels.masked_fill(~mask, 0)), rows_  # CV-33


def on_host(labels: Tensor) -> bool:
    """Whether values may be read: they are in host memory, and nothing is being compiled."""
    return labels.device.type == "cpu" and not torch.compiler.is_compiling()


def in_range(labels: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Return labels kept within [low, high], and which of them were; on the host, others are an error (CV-33)."""
    legal = (labels >= low) & (labels <= high)
    if on_host(labels) and labels.numel():
        check_label_range("labels", int(labels.min()), int(labels.max()), low, high)
    return labels.clamp(low, high), legal


def table(name: str, value: Tensor, like: str, rows_: Tensor, *, empty: bool = False) -> Tensor:
    """Check a table (C, D) against a checked batch; return it in the dtype of the arithmetic."""
    shape, dtype = describe(name, value)
    check_table(name, shape, dtype, like, rows_.shape[-1], describe(like, rows_)[1], empty=empty)  # CV-26, CV-34
    return value.to(torch.float64 if dtype == "float64" else torch.float32)


def common(embeddings: Tensor, *tables: Tensor) -> list[Tensor]:
    """Return float embeddings and tables in the widest of their dtypes; the modules that hold tables take any."""
    if not isinstance(embeddings, Tensor) or not embeddings.is_floating_point():
        return [embeddings, *tables]  # refused by the function
    dtype = reduce(torch.promote_types, (t.dtype for t in tables), embeddings.dtype)
    return [t.to(dtype) for t in (embeddings, *tables)]
