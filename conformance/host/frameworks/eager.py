"""Cases in a framework of which no more is known than arrays and the derivative of a function of them.

An adapter of another framework inherits from `Eager` and says the rest; `--framework module:class` takes it. It is
asked for values and gradients of plain calls, and for no compiled or transformed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lossproof.conformance.host.arrays import INTEGERS
from lossproof.conformance.host.frameworks import NotALoss, Request, flat, wired


class Eager:
    """Runs plain calls; a subclass says how arrays are made and read, who differentiates, and in which dtypes."""

    name, version, device, effort = "", "", "cpu", 1.0
    floats: Sequence[str] = ("float64", "float32")
    labels: Sequence[str] = INTEGERS

    def __init__(self, device: str):
        if device != "cpu":
            raise ImportError(f"{self.name} is judged on the cpu alone")
        self.modes, self.orders = ["eager"], [0, 1]
        self.dtypes, self.integers = list(self.floats), list(self.labels)

    def array(self, values: Any, dtype: str) -> Any:
        """Return a numpy array as one of the framework."""
        raise NotImplementedError

    def numbers(self, array: Any) -> tuple[Any, str]:
        """Return an array of the framework as a numpy array, floats as float64, and the name of its dtype."""
        raise NotImplementedError

    def derived(self, call: Callable[..., Any], rows: Mapping[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        """Return the value of a call and its gradients; `seed` is the cotangent, None for ones."""
        raise NotImplementedError

    def forget(self) -> None:
        """Do nothing: nothing is kept."""

    def switches(self) -> dict[str, Any]:
        """Return nothing: no switch is known."""
        return {}

    def run(self, ask: Request) -> dict[str, Any]:
        """Run one case."""
        native = {name: self.array(*given) for name, given in ask.inputs.items()}
        rows = {name: native[name] for name, (array, _) in ask.inputs.items() if array.dtype.kind == "f"}
        rest = {name: array for name, array in native.items() if name not in rows}
        if not ask.order:
            return {"value": self._loss(ask.function(**rows, **rest))}
        value, gradients = self.derived(lambda **rows: ask.function(**rows, **rest), rows, ask.cotangent)
        found = {name: self.numbers(gradient) for name, gradient in gradients.items()}
        return {"value": self._loss(value), "gradients": found}

    def results(self, ask: Request) -> dict[str, Any]:
        """Call a function that is no loss; nothing is differentiated."""
        native = {name: self.array(*given) for name, given in ask.inputs.items()}
        return {"results": [wired(self.numbers(part)[0]) for part in flat(ask.function(**native))]}

    def _loss(self, value: Any) -> tuple[Any, str]:
        array, dtype = self.numbers(value)
        if array.dtype.kind != "f":
            raise NotALoss(f"the loss returned {dtype}, not a float array")
        return array, dtype
