"""Cases in numpy: a function that takes `cotangent` and returns (value, {input: gradient})."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import INTEGERS
from lossproof.conformance.host.frameworks import NotALoss, Request, Returned, flat, remembered, strided, wired


class Numpy:
    """Runs numpy functions; they have no automatic differentiation, so their own gradients are judged."""

    name = "numpy"

    def __init__(self, device: str):
        if device != "cpu":
            raise ImportError("numpy has no device but cpu")
        self.version, self.device = np.__version__, "cpu"
        self.dtypes, self.integers = ["float64", "float32", "float16"], list(INTEGERS)
        self.modes, self.orders = ["eager", "strided"], [0, 1]
        self.effort = 1.0
        self._returned = Returned()

    def forget(self) -> None:
        """Drop what earlier calls returned; nothing is compiled."""
        self._returned.forget()

    def switches(self) -> dict[str, Any]:
        """Return what is set for the whole process: numpy's own is looked at for every framework."""
        return {}

    def results(self, ask: Request) -> dict[str, Any]:
        """Call a function that is no loss; nothing is differentiated."""
        native = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, (a, dtype) in ask.inputs.items()}
        before = {name: array.copy() for name, array in native.items()}
        found = [np.asarray(part) for part in flat(ask.function(**native))]
        changed = _changed(native, before) + self._stale(ask, found, native)
        return {"results": [wired(part) for part in found], "changed": changed}

    def run(self, ask: Request) -> dict[str, Any]:
        """Run one case."""
        native = {
            name: array if dtype == "bool" else array.astype(dtype) for name, (array, dtype) in ask.inputs.items()
        }
        if ask.mode == "strided":
            native = {name: strided(array) for name, array in native.items()}
        before = {name: array.copy() for name, array in native.items()}
        value = ask.function(
            **native, **({} if ask.cotangent is None or not ask.order else {"cotangent": ask.cotangent})
        )
        value, gradients = value if isinstance(value, tuple) else (value, {})
        result: dict[str, Any] = {"value": _named(value)}
        if ask.order:
            result["gradients"] = {name: _named(gradient) for name, gradient in gradients.items()}
        return {**result, "changed": _changed(native, before) + self._stale(ask, [value, *gradients.values()], native)}

    def _stale(self, ask: Request, found: list[Any], native: dict[str, Any]) -> list[str]:
        if not ask.audit:
            return []
        arrays = [part for part in found if isinstance(part, np.ndarray)]
        wrong = self._returned.changed(arrays, np.copy, _same)
        return wrong + remembered(ask.function, native, np.copy, _halve, _same)


def _changed(native: dict[str, Any], before: dict[str, Any]) -> list[str]:
    return [name for name, array in native.items() if not _same(array, before[name])]


def _halve(array: Any) -> None:
    if array.dtype.kind == "f":
        array *= array.dtype.type(0.5)


def _same(a: Any, b: Any) -> bool:
    return bool(a.tobytes() == b.tobytes())


def _named(value: Any) -> tuple[Any, str]:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise NotALoss(f"the loss returned {type(value).__name__}, not a float array")
    return array.astype(np.float64), array.dtype.name
