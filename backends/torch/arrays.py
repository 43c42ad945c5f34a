"""Tensors at the door: what the argument checks need to know of them, and the dtype of the arithmetic."""

from __future__ import annotations

from math import inf
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn import Parameter

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
    if type(value).__name__ == "DTensor":  # one process holds some of its rows, and its gradient could be anybody's
        raise TypeError(
            f"{name} must be the rows of this process, got a DTensor: give its to_local(), and process_group"
        )
    return tuple(value.shape), _NAMES.get(value.dtype) or str(value.dtype).removeprefix("torch.")


def rows(mask: Tensor | None, *tables: Tensor, **inputs: Tensor) -> list[Tensor]:
    """Check rows (..., D) and their mask; return the rows in the dtype of the arithmetic, masked ones as zeros.

    `tables` take part in the same arithmetic; what they must be is for `table` to check.
    """
    described = {name: describe(name, value) for name, value in inputs.items()}
    check_rows(described)  # CV-24, CV-25, CV-26
    (first, value), *others = inputs.items()
    for name, other in others:
        same_device(name, other, first, value)
    if mask is not None:
        check_mask("mask", *describe("mask", mask), described[first][0][:-1])  # CV-29, CV-30
        same_device("mask", mask, first, value)
    dtype = arithmetic(value, *tables)
    values = [value if value.dtype == dtype else value.to(dtype) for value in inputs.values()]
    if mask is None:
        return values
    return [value.masked_fill(~mask.unsqueeze(-1), 0.0) for value in values]  # CV-8, CV-9


def arithmetic(*values: Tensor) -> torch.dtype:
    """Return the dtype of the arithmetic on values: float64 if any of them is, else float32 (CV-17, CV-18)."""
    wide = any(isinstance(value, Tensor) and value.dtype == torch.float64 for value in values)
    return torch.float64 if wide else torch.float32


def same_device(name: str, value: Tensor, like: str, other: Tensor) -> None:
    """Check that two tensors of one call lie on one device."""
    if value.device != other.device:
        raise ValueError(f"{name} must be on the device of {like}, {other.device}, got {value.device}")


def real(name: str, value: float | Tensor, low: float, *, high: float = inf, above: bool = False) -> float | Tensor:
    """Check a number on the host, [low, inf) or as `check_real` says; a tensor of shape () is not read."""
    if isinstance(value, Tensor):
        check_scalar(name, tuple(value.shape))
        return value
    check_real(name, value, low, high=high, above=above)  # CV-28
    return value if type(value) is float or not isinstance(value, Real) else float(value)


def batch(mask: Tensor | None, labels: Tensor, *tables: Tensor, **embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Check one batch (B, D) with its labels and mask; return labels as int64 and rows in the arithmetic's dtype.

    Rows that are masked out are zeros with label 0.
    """
    ((name, value),) = embeddings.items()
    shape, dtype = describe(name, value)
    check_batch(name, shape, dtype)  # CV-34
    check_labels("labels", *describe("labels", labels), shape[0])  # CV-31
    same_device("labels", labels, name, value)
    (rows_,) = rows(mask, *tables, **embeddings)
    labels = labels.long().contiguous()  # what sorts them wants it so
    return (labels if mask is None else labels.masked_fill(~mask, 0)), rows_  # CV-33


def readable(value: Tensor) -> bool:
    """Whether a call may look at numbers: nothing is compiled, exported, traced or mapped over them (CV-22)."""
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        or type(value) not in (Tensor, Parameter)  # a fake tensor has no numbers, and a distributed one only some
        or is_functorch_wrapped_tensor(value)
        or torch._C._len_torch_dispatch_stack()  # make_fx, for one
        or torch._ops._len_torch_dispatch_stack_pre_dispatch()  # type: ignore[no-untyped-call]
    )


def on_host(value: Tensor) -> bool:
    """Whether values may be read: they are in host memory, and `readable`. Nothing else here decides that."""
    return value.device.type == "cpu" and readable(value)


def forward_mode() -> bool:
    """Whether somebody asks for derivatives in forward mode, which torch nests wrongly in a custom function."""
    return torch.autograd.forward_ad._current_level >= 0


def plain(*values: Tensor) -> bool:
    """Whether a call runs as it is written, on the host, and may be derived in reverse mode alone.

    Only then does a loss take a custom function of few passes over its rows; everything else (compilers, tracers,
    transforms, forward mode, devices) is given the formula, of which they can make what they need.
    """
    return (
        all(type(value) in (Tensor, Parameter) for value in values)
        and on_host(values[0])
        and not forward_mode()
        and not torch._C._are_functorch_transforms_active()
        and not (torch.is_grad_enabled() and any(value.is_inference() for value in values))  # a function keeps none
    )


def rows_at(values: Tensor, index: Tensor) -> Tensor:
    """Return rows of a table (C, D) by their index (B,).

    The derivative of the first way is the faster one; that of the other adds in the same order every time on a device.
    """
    return values.index_select(0, index) if on_host(index) else values[index]


def in_range(labels: Tensor, low: int, high: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return labels kept within [low, high], and which of them were; on the host, others are an error (CV-33).

    `dtype` is the one that they were given in: int64 shows the upper half of uint64 as negative numbers.
    """
    legal = (labels >= low) & (labels <= high)
    if labels.shape[0] and on_host(labels):
        lowest, highest = int(labels.min()), int(labels.max())
        if dtype == torch.uint64 and lowest < 0:
            lowest, highest = low, lowest + 2**64
        check_label_range("labels", lowest, highest, low, high)
    return labels.clamp(low, high), legal


def as_label(value: int, dtype: torch.dtype) -> int | None:
    """Return a label as int64 shows it, or None where labels of a dtype cannot hold it (CV-31, CV-32)."""
    limits = torch.iinfo(dtype)
    if not int(limits.min) <= value <= int(limits.max):
        return None
    return value - 2**64 if value >= 2**63 else value


def table(name: str, value: Tensor, like: str, rows_: Tensor, dtype: torch.dtype, *, empty: bool = False) -> Tensor:
    """Check a table (C, D) against a checked batch; return it in the dtype of the arithmetic."""
    shape, own = describe(name, value)
    check_table(name, shape, own, like, rows_.shape[-1], describe(like, rows_)[1], empty=empty)  # CV-26, CV-34
    same_device(name, value, like, rows_)
    return value.to(dtype)


def as_wide(embeddings: Tensor, *tables: Tensor) -> list[Tensor]:
    """Return tables, or logits, in the narrowest dtype that holds their numbers and those of the embeddings.

    The functions refuse tables that are narrower than the embeddings; the modules, whose own they are, widen them.
    """
    if not isinstance(embeddings, Tensor) or not embeddings.is_floating_point():
        return list(tables)  # refused by the function
    return [t.to(torch.promote_types(t.dtype, embeddings.dtype)) for t in tables]
