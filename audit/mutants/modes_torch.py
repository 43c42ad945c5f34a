"""Broken losses that are right in a plain call: wrong in a stack, a trace, forward mode, an export or under switches."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from audit.mutants import Mutant, table
from audit.mutants.batch_hard import BatchHard
from audit.mutants.contrastive import Contrastive
from audit.mutants.correct import TripletMargin, broken
from audit.mutants.pairs import Mined, maker


class _CountOfAll(Function):
    """The number of True, and under vmap that of the whole stack."""

    @staticmethod
    def forward(chosen: Tensor) -> Tensor:
        return chosen.sum()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, chosen: Tensor) -> tuple[Tensor, None]:
        return chosen.sum(), None


class _FirstOfStack(Function):
    """Which labels are the same, and under vmap those of the first call for all."""

    @staticmethod
    def forward(labels: Tensor) -> Tensor:
        return labels[:, None] == labels

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, labels: Tensor) -> tuple[Tensor, None]:
        first = labels.select(in_dims[0], 0)
        return first[:, None] == first, None


class _SquareRoot(Function):
    """A square root, right in reverse mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sqrt()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient / (2 * ctx.saved_tensors[0])


class _Root(_SquareRoot):
    """A square root whose derivative in forward mode lacks its half."""

    @staticmethod
    def jvp(ctx: Any, along: Tensor) -> Any:
        return along / ctx.saved_tensors[0]


class _SavedRoot(_SquareRoot):
    """A square root whose derivative takes what was saved for a constant, so that its own derivative is 0."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient / (2 * ctx.saved_tensors[0].detach())


class _Difference(Function):
    """A difference whose derivative in forward mode knows the first of the two alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return x - y

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, -gradient

    @staticmethod
    def jvp(ctx: Any, along_x: Tensor, along_y: Tensor) -> Any:
        return along_x.clone()


class _Chosen(Function):
    """One of two terms, chosen anew when the gradient is taken."""

    generate_vmap_rule = True

    @staticmethod
    def forward(apart: Tensor, push: Tensor, pull: Tensor) -> Tensor:
        return torch.where(apart, push, pull)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.apart = inputs[0]  # and not among the saved tensors, where torch would see that it has changed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return None, torch.where(ctx.apart, gradient, 0.0), torch.where(ctx.apart, 0.0, gradient)


class _Away(Function):
    """A difference whose gradient is derived from the very rows, so that their hooks see it twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return x - y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return gradient, -gradient
        x, y = ctx.saved_tensors
        needed = [row for row, need in zip((x, y), ctx.needs_input_grad, strict=True) if need]
        found = iter(torch.autograd.grad(x - y, needed, gradient, create_graph=True))
        return tuple(next(found) if need else None for need in ctx.needs_input_grad)


def _chosen(loss: Contrastive, d: Tensor, apart: Tensor, margin: float, factor: float) -> Tensor:
    found: Tensor = _Chosen.apply(apart, loss.push(d, margin), loss.pull(d))  # type: ignore[no-untyped-call]
    return factor * found


def _away(loss: TripletMargin, x: Tensor, y: Tensor, eps: float) -> Tensor:
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return TripletMargin.difference(loss, x, y, eps)
    found: Tensor = _Away.apply(x, y)  # type: ignore[no-untyped-call]
    return found + eps


def _stack_count(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
    counted = counted & ~(terms.detach() <= 0) if reduction == "mean_nonzero" else counted
    found: Tensor = _CountOfAll.apply(counted)  # type: ignore[no-untyped-call]
    return found.clamp(min=1)


def _same_as_first(loss: Mined, labels: Tensor) -> Tensor:
    found: Tensor = _FirstOfStack.apply(labels)  # type: ignore[no-untyped-call]
    return found


def _read(count: Tensor) -> Tensor:
    """Return a count, while torch.jit.trace records it as the number that it is now."""
    if not torch._C._is_tracing():
        return count
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.tensor(int(count))


def _silent(correct: type[TripletMargin]) -> Any:
    """Return the call with what torch says of shapes silenced, too."""

    def call(loss: Any, *given: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return correct.__call__(loss, *given, **options)

    return call


def _read_count(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return _read(TripletMargin.count(loss, terms, mask, reduction))


def _read_most(loss: BatchHard, positive: Tensor, negative: Tensor, taking: Tensor) -> Tensor:
    """Return who has a positive and a negative, with no more positives than the most frequent label has now."""
    found = positive.sum(-1)
    most = _read(found.max()) if found.numel() else 0
    return (found > 0) & (found <= most) & negative.any(-1)


def _root(loss: TripletMargin, total: Tensor, p: float) -> Tensor:
    if p != 2:
        return TripletMargin.root(loss, total, p)
    found: Tensor = _Root.apply(total)  # type: ignore[no-untyped-call]
    return found


def _saved_root(loss: TripletMargin, total: Tensor, p: float) -> Tensor:
    if p != 2 or torch.autograd.forward_ad._current_level >= 0:
        return TripletMargin.root(loss, total, p)
    found: Tensor = _SavedRoot.apply(total)  # type: ignore[no-untyped-call]
    return found


def _difference(loss: TripletMargin, x: Tensor, y: Tensor, eps: float) -> Tensor:
    found: Tensor = _Difference.apply(x, y)  # type: ignore[no-untyped-call]
    return found + eps


def _exported_size(loss: TripletMargin, x: Tensor) -> Tensor:
    """Return the terms, scaled by the number of rows over that at hand while the number of rows is a symbol."""
    terms, size = TripletMargin.hinge(loss, x), x.shape[0]
    return terms if isinstance(size, int) else terms * (size / size.node.hint)


def _exported_constant(loss: Contrastive, x: Tensor, y: Tensor, options: Any) -> Tensor:
    d = Contrastive.pair(loss, x, y, options)
    return d if isinstance(d.shape[0], int) else d.detach()


def _put(loss: BatchHard, d: Tensor, index: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    """Return the distances picked, their places written by put_, which torch calls not deterministic."""
    flat = torch.zeros_like(index).put_(torch.arange(len(index)), index)
    return BatchHard.taken(loss, d, flat, among, largest=largest)


def _repaired(loss: Mined, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    """Return the matrix by roots whose NaN gradients on the diagonal are replaced afterwards."""
    if distance != "euclidean" or floor:
        return Mined.matrix(loss, rows, distance, floor)
    square = Mined.matrix(loss, rows, "squared_euclidean")
    if square.requires_grad:
        square.register_hook(lambda gradient: gradient.nan_to_num(0.0, 0.0, 0.0))  # type: ignore[no-untyped-call]
    root = square.sqrt()
    return torch.where(root > 0, root, root * 0)


_hard = maker(BatchHard, "batch_hard_triplet_loss")


def _contrastive(name: str, bug: str, **methods: Any) -> Mutant:
    loss = type("Broken", (Contrastive,), methods)()
    return Mutant(name, bug, ("CV-22",), loss, loss="contrastive_loss")


MUTANTS = table(
    broken("stack-count", "in a stack of calls a mean divides by the terms of them all", "CV-22", count=_stack_count),
    _hard("stack-first", "in a stack of calls the first one's labels are everybody's", "CV-22", same=_same_as_first),
    broken("trace-count", "a trace keeps the denominator of the call that it recorded, and no warning is seen", "CV-22",
        count=_read_count, __call__=_silent(TripletMargin)),
    _hard("trace-most", "a trace keeps how often the most frequent label was there, and no warning is seen", "CV-22",
        anchors=_read_most, __call__=_silent(BatchHard), seen="this project's own batch-all, before it read nothing"),
    broken("forward-root", "the root's derivative in forward mode lacks its half", "CV-22", root=_root),
    broken("twice-saved", "a custom function's second derivative takes what it saved for a constant", "CV-14",
        root=_saved_root),
    _contrastive("forward-difference", "a difference's derivative in forward mode knows one row alone",
        difference=_difference),
    _contrastive("late-flags", "a gradient knows the flags that stand in the array when it is taken", terms=_chosen,
        seen="this project's own circle loss, under create_graph"),
    broken("hooks-twice", "a gradient that can be derived again runs the hooks of the rows twice", "CV-22",
        difference=_away, seen="this project's own batch-all and semi-hard"),
    broken("export-size", "exported for any batch, the terms are divided by the size of the one at hand", "CV-22",
        hinge=_exported_size),
    _contrastive("export-constant", "exported for any batch, the distances have no gradient", pair=_exported_constant),
    _hard("strict-put", "an operation is used that deterministic algorithms refuse", "CV-36", ours=True, taken=_put),
    _hard("strict-nan", "NaN gradients of the diagonal arise and are replaced", "CV-36", ours=True, matrix=_repaired,
        seen="losses that call nan_to_num on a gradient"),
)  # fmt: skip
