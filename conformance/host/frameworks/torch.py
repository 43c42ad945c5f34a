"""Cases in PyTorch: eager, compiled, by torch.func, under autocast, one gradient alone, and what torch_modes has."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lossproof.conformance.host.arrays import INTEGERS
from lossproof.conformance.host.frameworks import NotALoss, Request, Returned, flat, remembered, torch_modes, wired

_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_BACKENDS = {"compiled": "inductor", "captured": "aot_eager"}  # of torch.compile; the second writes no code


def _gives_up() -> tuple[type[BaseException], ...]:
    """Return what torch.compile raises where it makes no graph; the compiler takes seconds to import."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException,)


class Torch:
    """Runs torch functions; autograd gives the gradients that are judged."""

    name = "torch"

    def __init__(self, device: str):
        if device != "cpu" and not torch.cuda.is_available():
            raise ImportError(f"torch sees no device {device}")
        self.version, self.device = str(torch.__version__), device
        self.dtypes, self.integers, self.orders = list(_DTYPES), list(INTEGERS), [0, 1, 2]
        self.modes = ["eager", "compiled", "captured", "functional", "vectorised", "ambient", "strided", "alone"]
        self.modes += torch_modes.MODES
        self.effort = 1.0
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._returned = Returned()

    def forget(self) -> None:
        """Drop what was compiled and returned: another implementation follows."""
        self._compiled.clear()
        self._returned.forget()

    def results(self, ask: Request) -> dict[str, Any]:
        """Call a function that is no loss; its derivative is that of the sum of all float results."""
        native = {name: self.tensor(*pair) for name, pair in ask.inputs.items()}
        rows = {name: t.requires_grad_(ask.order > 0) for name, t in native.items() if t.is_floating_point()}
        torch.rand(int(ask.audit))
        state = torch.get_rng_state().clone(), {name: tensor.clone() for name, tensor in native.items()}
        found = flat(ask.function(**native))
        result: dict[str, Any] = {"results": [_wired(tensor) for tensor in found]}
        result["changed"] = _changed(native, *state) + self._stale(found, ask.function, native) if ask.audit else []
        if ask.order:
            total = sum((t.double().sum() for t in found if t.is_floating_point()), torch.zeros(()))
            grown = torch.autograd.grad(total, list(rows.values()), allow_unused=True) if total.requires_grad else ()
            gradients = dict(zip(rows, grown or [None] * len(rows), strict=True))
            result["gradients"] = {
                n: named(torch.zeros_like(rows[n]) if g is None else g) for n, g in gradients.items()
            }
        return result

    def run(self, ask: Request) -> dict[str, Any]:
        """Run one case; to be compiled into one graph is nobody's duty but ours."""
        gives_up = _gives_up() if ask.mode in _BACKENDS else ()
        try:
            with warnings.catch_warnings():
                if ask.mode in (*_BACKENDS, *torch_modes.MODES):
                    warnings.simplefilter("ignore")  # what torch says of itself, even where warnings are errors
                return self._run(ask)
        except gives_up as problem:
            return {"unsupported": f"torch.compile makes no one graph of it: {str(problem)[:200]}"}

    def _run(self, ask: Request) -> dict[str, Any]:
        native = {name: self.tensor(*pair) for name, pair in ask.inputs.items()}
        if ask.mode == "strided":
            native = {name: _apart(tensor) for name, tensor in native.items()}
        rows = {name: tensor for name, tensor in native.items() if tensor.is_floating_point()}
        rest = {name: tensor for name, tensor in native.items() if name not in rows}
        names = list(rows)
        along = [self.tensor(ask.tangents[name], ask.inputs[name][1]) for name in names] if ask.order == 2 else []
        torch.rand(int(ask.audit))  # or a call that sets the seed sets what is set already
        state = torch.get_rng_state().clone(), {name: tensor.clone() for name, tensor in native.items()}

        def loss(*values: torch.Tensor) -> torch.Tensor:
            value: torch.Tensor = ask.function(**dict(zip(names, values, strict=True)), **rest)
            return value

        if ask.mode == "vectorised":
            value = torch.func.vmap(lambda *given: ask.function(**dict(zip(native, given, strict=True))))(
                *native.values()
            )
            return {"value": named(value)}
        if ask.mode == "ambient":  # the forward pass alone, as torch's documentation asks
            within = torch.autocast(self.device, torch.bfloat16)(loss)
            value, gradients, second = autograd(within, list(rows.values()), ask.order, ask.cotangent, along)
        elif ask.mode in torch_modes.MODES and ask.order < 2:
            found = torch_modes.run(ask, self.tensor, self._compiled)
            if isinstance(found, str):
                return {"unsupported": found}
            (value, gradients), second = found, []
        elif ask.mode == "functional" or (ask.mode in _BACKENDS and ask.order == 2):
            derive = _functional(loss, ask.order, ask.cotangent)
            if ask.mode in _BACKENDS:
                torch._dynamo.reset()
                derive = torch.compile(derive, fullgraph=True, dynamic=False, backend=_BACKENDS[ask.mode])
            value, gradients, second = derive(list(rows.values()), along)
        elif ask.mode == "alone" and ask.order == 1:
            value, gradients = _one_by_one(loss, list(rows.values()), ask.cotangent)
            second = []
        else:
            if ask.mode in _BACKENDS:
                loss = self._compile(ask, rows, rest)
            value, gradients, second = autograd(loss, list(rows.values()), ask.order, ask.cotangent, along)

        if second is None:
            return {"unsupported": "the gradient has no derivative of its own"}
        result: dict[str, Any] = {"value": named(value)}
        if ask.order:
            result["gradients"] = {name: named(g) for name, g in zip(names, gradients, strict=True)}
        if ask.order == 2:
            result["second"] = {name: named(h) for name, h in zip(names, second, strict=True)}
        if ask.audit:
            result["changed"] = _changed(native, *state) + self._stale([value, *gradients], ask.function, native)
        return result

    def _stale(self, found: list[Any], function: Any, native: dict[str, torch.Tensor]) -> list[str]:
        tensors = [part.detach() for part in found if isinstance(part, torch.Tensor)]
        wrong = self._returned.changed(tensors, torch.clone, _same)
        return wrong + remembered(function, native, _copy, _halve, _same)

    def switches(self) -> dict[str, Any]:
        """Return what is set for the whole process."""
        return {
            "torch's default dtype": torch.get_default_dtype(),
            "torch's gradient mode": torch.is_grad_enabled(),
            "torch's matmul precision": torch.get_float32_matmul_precision(),
            "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        }

    def tensor(self, array: Any, dtype: str) -> torch.Tensor:
        """Return an array as a tensor of a dtype on the device."""
        # copied in between: torch wants writable memory; rounding happened in the judge already
        return torch.from_numpy(np.array(array)).to(_DTYPES.get(dtype)).to(self.device)

    def _compile(self, ask: Request, rows: dict[str, torch.Tensor], rest: dict[str, torch.Tensor]) -> Any:
        """Compile once a structure; labels and mask are arguments, no constants of the graph."""
        names = [*rows, *rest]
        key = (ask.mode, ask.key, *((name, tuple(t.shape), t.dtype) for name, t in {**rows, **rest}.items()))
        if key not in self._compiled:
            torch._dynamo.reset()  # one structure after the other, or it refuses after a few

            def call(*values: torch.Tensor) -> torch.Tensor:
                value: torch.Tensor = ask.function(**dict(zip(names, values, strict=True)))
                return value

            self._compiled[key] = torch.compile(call, fullgraph=True, dynamic=False, backend=_BACKENDS[ask.mode])
        compiled = self._compiled[key]
        return lambda *values: compiled(*values, *rest.values())


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


def _halve(tensor: torch.Tensor) -> None:
    if tensor.is_floating_point():
        tensor.mul_(0.5)


def _apart(tensor: torch.Tensor) -> torch.Tensor:
    """Return a view of every second number of a larger tensor, columns first; between them are NaN, -1 or True."""
    turned = tensor.movedim(0, -1) if tensor.ndim else tensor
    wide = torch.full((*turned.shape, 2), float("nan") if tensor.is_floating_point() else -1, device=tensor.device).to(
        tensor.dtype
    )
    wide[..., 0] = turned
    return wide[..., 0].movedim(-1, 0) if tensor.ndim else wide[..., 0]


def autograd(loss: Any, rows: list[torch.Tensor], order: int, cotangent: Any, along: list[torch.Tensor]) -> Any:
    """Return the value, the gradients of <cotangent, value>, and their derivative along the tangents."""
    rows = [row.detach().requires_grad_(order > 0) for row in rows]
    with torch.set_grad_enabled(order > 0):  # without a gradient to be asked for, as in an evaluation
        value = loss(*rows)
    if not isinstance(value, torch.Tensor):
        raise NotALoss(f"the loss returned {type(value).__name__}, not a tensor")
    zeros = [torch.zeros_like(row) for row in rows]
    if not order:
        return value, zeros, zeros
    gradients = zeros
    if value.requires_grad and value.numel() == np.size(cotangent):
        seed = torch.as_tensor(cotangent, dtype=value.dtype, device=value.device)
        found = torch.autograd.grad(value, rows, seed.reshape(value.shape), create_graph=order == 2, allow_unused=True)
        gradients = [zero if g is None else g for g, zero in zip(found, zeros, strict=True)]
    second = zeros
    if order == 2:
        product = torch.stack([(g * v).sum() for g, v in zip(gradients, along, strict=True)]).sum()
        if not product.requires_grad:  # constant, or of a function that is differentiable once
            return value, [g.detach() for g in gradients], None
        found = torch.autograd.grad(product, rows, allow_unused=True)
        second = [zero if h is None else h for h, zero in zip(found, zeros, strict=True)]
    return value, [g.detach() for g in gradients], second


def _one_by_one(loss: Any, rows: list[torch.Tensor], cotangent: Any) -> tuple[Any, list[torch.Tensor]]:
    """Return the value and each gradient of a call in which that input alone asks for one."""

    def of_one(place: int) -> Any:
        return lambda row: loss(*rows[:place], row, *rows[place + 1 :])

    found = [autograd(of_one(place), [row], 1, cotangent, []) for place, row in enumerate(rows)]
    return found[0][0], [gradients[0] for _, gradients, _ in found]


def _functional(loss: Any, order: int, cotangent: Any) -> Any:
    """Return the same derivatives by torch.func, as one function of the rows and the tangents."""

    def weighted(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        value = loss(*rows)
        seed = torch.tensor(
            np.ones(value.shape) if cotangent is None else cotangent, dtype=value.dtype, device=value.device
        )
        return (value * seed.reshape(value.shape)).sum(), value

    def derive(rows: list[torch.Tensor], along: list[torch.Tensor]) -> Any:
        gradients, value = torch.func.grad(weighted, has_aux=True)(rows)
        if order < 2:
            return value, gradients, gradients

        def product(rows: list[torch.Tensor]) -> torch.Tensor:
            inner = torch.func.grad(weighted, has_aux=True)(rows)[0]
            return sum(
                ((g * v).sum() for g, v in zip(inner, along, strict=True)),
                torch.zeros((), device=rows[0].device),
            )

        return value, gradients, torch.func.grad(product)(rows)

    return derive


def named(tensor: Any) -> tuple[Any, str]:
    """Return a tensor as float64, and its dtype."""
    if not isinstance(tensor, torch.Tensor) or tensor.dtype not in _NAMES:
        kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise NotALoss(f"the loss returned {kind}, not a float tensor")
    return tensor.detach().double().cpu().numpy(force=True), _NAMES[tensor.dtype]


def _wired(tensor: torch.Tensor) -> tuple[Any, str]:
    return named(tensor) if tensor.dtype in _NAMES else wired(tensor.numpy(force=True))


def _changed(native: dict[str, torch.Tensor], state: torch.Tensor, before: dict[str, torch.Tensor]) -> list[str]:
    """Return what a call changed: its inputs, and torch's random state."""
    drawn = [] if torch.equal(state, torch.get_rng_state()) else ["torch's random state"]
    return [name for name, tensor in native.items() if not _same(tensor, before[name])] + drawn


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        bool(torch.equal(a.nan_to_num(nan=7.0), b.nan_to_num(nan=7.0))) if a.is_floating_point() else torch.equal(a, b)
    )
