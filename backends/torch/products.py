"""Matrix products that ambient switches do not degrade (CV-20)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import arithmetic, forward_mode


def products(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product of each row of x with each row of y: (B, D), (C, D) -> (B, C).

    Autocast would multiply in a half format here, and in the backward pass too where that runs under it; a float32
    matmul precision below "highest" (TF32, bfloat16) is met with float64 products.
    """
    if forward_mode():
        wide = arithmetic(x) if x.device.type == "mps" else torch.float64  # mps has no float64, and no TF32 either
        return (x.to(wide) @ y.to(wide).mT).to(x.dtype)
    result: Tensor = _Products.apply(x, y)  # type: ignore[no-untyped-call]
    return result


def multiplied(x: Tensor, y: Tensor) -> Tensor:
    """Return the same, whose gradient is for the caller to find."""
    if x.device.type == "meta":
        return x @ y.mT
    with torch.autocast(x.device.type, enabled=False):
        if x.dtype == torch.float32 and not _float32_products():
            return (x.double() @ y.double().mT).to(x.dtype)
        return x @ y.mT


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _float32_products() -> bool:
    """Return whether float32 matrices are multiplied as such; False too where the settings cannot be read."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by the newer switches
        return False


class _Products(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return multiplied(x, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return products(gradient, y.mT), products(gradient.mT, x.mT)
