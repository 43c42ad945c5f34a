"""Ways to break a soft margin that each loss with one may have: a name, the bug, its clause, methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from audit.mutants.correct import TripletMargin

Broken = tuple[str, str, str, str, dict[str, Callable[..., Any]]]  # name, bug, clause, where it was seen, methods


def overflowing(loss: TripletMargin, x: Tensor) -> Tensor:
    """Return log(1 + exp x) as float32 has it, in float64 too."""
    return torch.where(x.detach() < 88, x.clamp(max=88.0).exp().log1p(), x + torch.inf)


def _straight(loss: TripletMargin, x: Tensor) -> Tensor:
    return softplus(x, threshold=40.0).detach() + x - x.detach()


def soft_margins(value: str, gradient: str) -> Iterator[Broken]:
    """Yield what may be wrong with the soft margin of a loss with these clauses."""
    yield (
        "overflow",
        "the soft margin overflows",
        value,
        "TensorFlow Addons, open-metric-learning",
        {"soft": overflowing},
    )
    yield "margin", "the margin is added inside the exponent", value, "pytorch-metric-learning, smooth_loss", {
        "added": lambda s, margin, soft: margin
    }  # fmt: skip
    yield "sign", "the soft margin has the sign of its argument wrong", value, "", {
        "soft": lambda s, x: softplus(-x, threshold=40.0)
    }  # fmt: skip
    yield "nonzero", "mean_nonzero leaves out the terms that underflow to 0", value, "", {
        "over": lambda s, reduction, soft: reduction
    }  # fmt: skip
    yield "of-hinge", "the soft margin is that of the hinge", value, "", {
        "soft": lambda s, x: softplus(torch.relu(x), threshold=40.0)
    }  # fmt: skip
    yield "with-margin", "a margin is taken beside a soft one, and ignored", value, "", {
        "check_soft": lambda s, soft, margin, default: None
    }  # fmt: skip
    yield "ignored", "soft_margin does nothing", value, "", {
        "added": lambda s, margin, soft: margin, "term": lambda s, x, soft: s.hinge(x),
    }  # fmt: skip
    yield "slope", "the gradient of the soft margin lacks sigma", gradient, "", {"soft": _straight}
