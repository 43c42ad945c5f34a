"""The transforms of PyTorch in which a case is asked: a stack of calls, a trace, an export, a late gradient, others.

A transform is nobody's duty but ours: where it raises and the plain call does not, the case is unsupported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossproof.conformance.host.frameworks import NotALoss, Request

Call = Callable[[dict[str, Tensor]], Tensor]
Make = Callable[[Any, str], Tensor]
Found = tuple[Tensor, list[Tensor]]  # the value, and the gradient of each float input
MODES = ("stacked", "traced", "forward", "strict", "unknown_batch", "reused")
LARGE = 1e-3  # a relative difference of a traced call from the plain one that no rounding explains
ROUNDOFF, SINGLE = 1e-12, 1e-6  # between them is what float32 makes of a number in float64


def run(ask: Request, make: Make, kept: dict[Any, Any]) -> Found | str:
    """Return value and gradients of a case in one of these modes, or why torch gives none."""
    native = {name: make(*pair) for name, pair in ask.inputs.items()}

    def call(given: dict[str, Tensor]) -> Tensor:
        value = ask.function(**given)
        if not isinstance(value, Tensor):
            raise NotALoss(f"the loss returned {type(value).__name__}, not a tensor")
        return value

    try:
        if ask.mode == "stacked":
            return _stacked(ask, call, native, make)
        if ask.mode == "forward":
            return _forward(ask, call, native)
        if ask.mode == "reused":
            return _reused(ask, call, make)
        if ask.mode == "strict":
            with _strict():
                return _reverse(ask, call, native)
        return (_traced if ask.mode == "traced" else _exported)(ask, call, native, make, kept)
    except NotALoss:
        raise
    except Exception as problem:
        call(native)  # raises what the plain call raises
        if ask.mode == "strict":
            raise  # to stop there is what the clause speaks of
        return f"mode {ask.mode}: {type(problem).__name__}: {str(problem)[:200]}"


@contextmanager
def _strict() -> Iterator[None]:
    """Switch on what looks for mistakes: anomaly mode, and deterministic algorithms alone."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.autograd.set_detect_anomaly(True):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def others(ask: Request, count: int | None = None) -> Iterator[dict[str, tuple[Any, str]]]:
    """Yield inputs that are as legal as those of the case: other numbers, and labels that fall otherwise.

    First the labels of the case in turn, so that none of them is frequent, then one label alone; `count` rows.
    """
    for turn in range(2):
        found = {}
        for name, (array, dtype) in ask.inputs.items():
            own = array[::-1] * (0.5 if turn else 1) if array.dtype.kind == "f" and array.ndim else array
            if array.dtype.kind in "iu" and array.size:
                kinds = np.unique(array)
                own = np.full_like(array, array.flat[0]) if turn else np.resize(kinds, array.shape)
            if array.dtype.kind == "b":
                own = np.roll(array, 1 + turn)
            if count is not None and name in ask.aligned:
                own = np.resize(own, (count, *array.shape[1:]))
            found[name] = (np.asarray(own, array.dtype), dtype)
        yield found


def _rows(native: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in native.items() if tensor.is_floating_point()]


def _weighted(ask: Request, call: Call, rest: dict[str, Tensor]) -> Any:
    """Return <cotangent, value>, and the value, as a function of the float inputs."""

    def weighted(rows: dict[str, Tensor], rest: dict[str, Tensor] = rest) -> tuple[Tensor, Tensor]:
        value = call({**rows, **rest})
        seed = np.ones(value.shape) if ask.cotangent is None else ask.cotangent
        return (value * torch.as_tensor(seed, dtype=value.dtype, device=value.device).reshape(value.shape)).sum(), value

    return weighted


def _stacked(ask: Request, call: Call, native: dict[str, Tensor], make: Make) -> Found:
    """Call a stack of three at once, the case in the middle."""
    first, last = ({n: make(*pair) for n, pair in other.items()} for other in others(ask))
    stack = {name: torch.stack([first[name], tensor, last[name]]) for name, tensor in native.items()}
    names = _rows(native)
    rows, rest = {n: stack[n] for n in names}, {n: t for n, t in stack.items() if n not in names}
    if not ask.order:
        return torch.func.vmap(call)(stack)[1], []
    derive = torch.func.grad(_weighted(ask, call, {}), has_aux=True)
    gradients, values = torch.func.vmap(derive)(rows, rest)
    return values[1], [gradients[name][1] for name in names]


def _forward(ask: Request, call: Call, native: dict[str, Tensor]) -> Found:
    """Differentiate in forward mode."""
    names = _rows(native)
    rows = {n: native[n] for n in names}
    weighted = _weighted(ask, call, {n: t for n, t in native.items() if n not in names})
    if not ask.order:
        return torch.func.jvp(lambda rows: weighted(rows)[1], (rows,), (rows,))[0], []
    gradients, value = torch.func.jacfwd(weighted, has_aux=True)(rows)
    return value, [gradients[n].to(rows[n].dtype) for n in names]


def _reverse(ask: Request, call: Call, native: dict[str, Tensor]) -> Found:
    names = _rows(native)
    rows = {n: native[n].detach().requires_grad_(ask.order > 0) for n in names}
    value = call({**native, **rows})
    if not ask.order or not value.requires_grad:
        return value, [torch.zeros_like(row) for row in rows.values()]
    seed = torch.as_tensor(ask.cotangent, dtype=value.dtype, device=value.device).reshape(value.shape)
    grown = torch.autograd.grad(value, list(rows.values()), seed, materialize_grads=True, allow_unused=True)
    return value, list(grown)


def _reused(ask: Request, call: Call, make: Make) -> Found:
    """Fill labels and masks anew before the gradient is taken; who refuses is asked what comes of the hooks alone."""
    try:
        return _late(ask, call, make, next(others(ask)))
    except RuntimeError as problem:
        if "inplace operation" not in str(problem):
            raise
        return _late(ask, call, make, {})


def _late(ask: Request, call: Call, make: Make, other: Mapping[str, tuple[Any, str]]) -> Found:
    """Take the gradient in a form that can be derived again, under hooks that double it, after a change in place."""
    native = {name: make(*pair) for name, pair in ask.inputs.items()}
    names = _rows(native)
    rows = {n: native[n].requires_grad_(ask.order > 0) for n in names}
    value = call(native)
    if not ask.order or not value.requires_grad:
        return value, [torch.zeros_like(row) for row in rows.values()]
    for row in rows.values():
        row.register_hook(lambda gradient: 2 * gradient)  # type: ignore[no-untyped-call]
    for name in other.keys() - rows.keys():
        held = native[name]
        held.copy_(~held if held.dtype == torch.bool else make(*other[name]))
    seed = torch.as_tensor(ask.cotangent, dtype=value.dtype, device=value.device).reshape(value.shape)
    options: dict[str, Any] = {"create_graph": True, "materialize_grads": True, "allow_unused": True}
    before = seed.clone()
    torch.autograd.grad(value, list(rows.values()), seed, **options)  # once more: what is kept for it stays as it is
    grown = torch.autograd.grad(value, list(rows.values()), seed, **options)
    if not torch.equal(before, seed):
        raise NotALoss("the backward pass changed the gradient that it was given")
    return value, [gradient.detach() / 2 for gradient in grown]


def _traced(ask: Request, call: Call, native: dict[str, Tensor], make: Make, kept: dict[Any, Any]) -> Found | str:
    """Record the call on other numbers of the same shapes, and replay it on those of the case."""
    names = list(native)
    key = (ask.mode, ask.key, *((name, tuple(t.shape), t.dtype) for name, t in native.items()))
    if key not in kept:
        other = {n: make(*pair) for n, pair in next(others(ask)).items()}
        example = tuple(other[n].requires_grad_(ask.order > 0 and other[n].is_floating_point()) for n in names)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trace = torch.jit.trace(  # type: ignore[no-untyped-call]
                lambda *given: call(dict(zip(names, given, strict=True))), example, check_trace=False
            )
        kept[key] = trace, [str(w.message) for w in said if w.category.__name__ == "TracerWarning"]
    trace, warned = kept[key]
    found = _reverse(ask, lambda given: trace(*(given[n] for n in names)), native)
    apart = _apart(found, _reverse(ask, call, native))
    if warned and apart > LARGE:
        return f"torch.jit.trace warned: {warned[0][:200]}"  # and was right
    if found[0].dtype == torch.float64 and ROUNDOFF < apart < SINGLE:
        return "in a trace a number divided by a size is rounded to float32"
    return found


def _exported(ask: Request, call: Call, native: dict[str, Tensor], make: Make, kept: dict[Any, Any]) -> Found:
    """Export the call with a batch of any size, from numbers of another size, and call the program."""
    shapes = [(n, tuple(t.shape)[n in ask.aligned :], t.dtype) for n, t in native.items()]
    key = (ask.mode, ask.key, *shapes)
    if key not in kept:
        count = 2 * max(len(native[n]) for n in ask.aligned if n in native) + 3
        other = {n: make(*pair) for n, pair in next(others(ask, count)).items()}
        batch = torch.export.Dim("batch", max=2**16)
        dynamic = {n: {0: batch} if n in ask.aligned else {} for n in native}
        kept[key] = torch.export.export(_Module(call), (other,), dynamic_shapes=(dynamic,), strict=False).module()
    return _reverse(ask, kept[key], native)


class _Module(torch.nn.Module):
    def __init__(self, call: Call):
        super().__init__()
        self.call = call

    def forward(self, given: dict[str, Tensor]) -> Tensor:
        return self.call(given)


def _apart(found: Found, plain: Found) -> float:
    """Return the largest difference of the parts of two answers, each relative to the largest number of its part."""
    worst = 0.0
    for a, b in zip((found[0], *found[1]), (plain[0], *plain[1]), strict=True):
        a, b = a.detach().double(), b.detach().double()
        gap = (a - b).abs().masked_fill((a == b) | (a.isnan() & b.isnan()), 0.0).nan_to_num(torch.inf)
        if gap.numel() and gap.max() > 0:
            worst = max(worst, float(gap.max() / b.abs().nan_to_num(0.0).max().clamp(min=1e-300)))
    return worst
