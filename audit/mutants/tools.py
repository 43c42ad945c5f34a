"""Miniatures of bad tools: not a bug in a formula, but an implementation that behaves badly, each with its verdict.

Each is a triplet margin loss of torch. Those that crash, hang or answer what was not asked need a process of their own and
are programs in the tests of the session.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audit.mutants.correct import CORRECT
from lossproof.conformance.host.implementation import Implementation

NOTHING = "nothing to judge"  # no plain call is answered: there is no certificate
REFUSED = "refused"  # at hello, for what it says of itself


@dataclass(frozen=True)
class Tool:
    """An implementation, what it does, and the verdict that it must get; a fresh one for each judgement."""

    id: str
    does: str
    verdict: str
    make: Callable[[], Implementation]


def _tool(function: Any, **claims: Any) -> Implementation:
    return Implementation({"triplet_margin_loss": function}, name="tool", **claims)


def _last_of_the_shape() -> Implementation:
    known: dict[Any, Tensor] = {}

    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
        key = (tuple(anchor.shape), anchor.dtype, repr(sorted((n, v) for n, v in options.items() if n != "mask")))
        fresh = CORRECT(anchor, positive, negative, **options)
        return fresh - fresh.detach() + known.setdefault(key, fresh.detach().clone())

    return _tool(triplet_margin_loss)


def _of_several_rows() -> Implementation:
    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
        return CORRECT(anchor, positive, negative, **options).squeeze()

    return _tool(triplet_margin_loss)


def _now_and_then() -> Implementation:
    calls: Iterator[int] = itertools.count(1)

    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
        value = CORRECT(anchor, positive, negative, **options)
        return value * (1 + 2.0**-20) if next(calls) % 50 == 0 else value

    return _tool(triplet_margin_loss)


def _previous_gradient() -> Implementation:
    class Late(torch.autograd.Function):
        before: Tensor | None = None

        @staticmethod
        def forward(ctx: Any, row: Tensor) -> Tensor:
            return row.view_as(row)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            before, Late.before = Late.before, gradient.clone()
            return gradient if before is None or before.shape != gradient.shape else before.to(gradient.dtype)

    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
        late: Tensor = Late.apply(anchor)  # type: ignore[no-untyped-call]
        return CORRECT(late, positive, negative, **options)

    return _tool(triplet_margin_loss)


def _swap_in_name_only() -> Implementation:
    def triplet_margin_loss(
        anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 1.0, swap: bool = False,
        reduction: str = "mean",
    ) -> Tensor:  # fmt: skip
        return CORRECT(anchor, positive, negative, margin=margin, reduction=reduction)

    return _tool(triplet_margin_loss)


def _talkative() -> Implementation:
    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
        print('{"type": "answer", "id": 1, "value": 0}')
        return CORRECT(anchor, positive, negative, **options)

    return _tool(triplet_margin_loss)


def _nothing_but_the_default() -> Implementation:
    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return CORRECT(anchor, positive, negative)

    return _tool(triplet_margin_loss)


def _a_number() -> Implementation:
    return _tool(
        lambda anchor, positive, negative, **options: float(CORRECT(anchor, positive, negative, **options).sum())
    )


def _never() -> Implementation:
    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
        raise RuntimeError("not written yet")

    return _tool(triplet_margin_loss)


def _misspelt_limit() -> Implementation:
    return _tool(CORRECT, limits={"magrin": [1.0]})


def _misspelt_rename() -> Implementation:
    def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, norm_degree: float = 2.0) -> Tensor:
        return CORRECT(anchor, positive, negative, p=norm_degree)

    return _tool(triplet_margin_loss, rename={"norm_degree": "norm"})


TOOLS = (
    Tool("last-of-the-shape", "answers from a cache whose key is the shape", "nonconformant", _last_of_the_shape),
    Tool("several-rows", "is right for two rows and more, and squeezes one away", "errored", _of_several_rows),
    Tool("now-and-then", "is wrong one time in fifty", "nonconformant", _now_and_then),
    Tool("previous-gradient", "gives the gradient of the call before", "nonconformant", _previous_gradient),
    Tool("swap-in-name", "takes swap and ignores it", "nonconformant", _swap_in_name_only),
    Tool("talkative", "prints answers of its own to standard output, and is right", "conformant", _talkative),
    Tool("default-alone", "has no option at all, and is right", "conformant", _nothing_but_the_default),
    Tool("a-number", "returns a Python number, which has no gradient", NOTHING, _a_number),
    Tool("never", "raises whatever it is given", NOTHING, _never),
    Tool("misspelt-limit", "limits an option that no page has", REFUSED, _misspelt_limit),
    Tool("misspelt-rename", "renames a parameter to an argument that no page has", REFUSED, _misspelt_rename),
)
