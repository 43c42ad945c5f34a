"""A case: one call that an implementation is asked to make, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isinf, isnan
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS, Array, decode, encode
from lossproof.conformance.host.words import LONGEST, cut, meant
from lossproof.spec import losses
from lossproof.spec.arguments import widest


@dataclass(frozen=True)
class Case:
    """One call: arrays (floats as float64 that the dtype holds), options, and what is asked of it.

    `order` 0 asks for the value, 1 for the gradient of <cotangent, value> too, 2 also for the derivative of that
    gradient along the tangents.
    """

    loss: str
    inputs: Mapping[str, Array]
    dtype: str
    parameters: Mapping[str, Any]
    mode: str = "eager"
    order: int = 1
    cotangent: Array | None = None
    tangents: Mapping[str, Array] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)  # of single inputs, where not `dtype`
    audit: bool = False  # look for changed inputs and a changed random state
    results: bool = False  # a function that is no loss: any arrays may come back
    again: bool = False  # asked once more, of code that is compiled as its users have it
    split: tuple[int, ...] = ()  # the number of rows of each process, where the batch is spread over some

    def dtype_of(self, name: str) -> str:
        """Return the dtype that an input travels with."""
        own = {"b": "bool", "i": "int64", "u": "uint64"}.get(self.inputs[name].dtype.kind, self.dtype)
        return self.dtypes.get(name, own)

    @property
    def widest(self) -> str:
        """Return the widest dtype of the float inputs but the weights, that of the arithmetic: CV-15, CV-26."""
        weights = losses()[self.loss].weights if self.loss in losses() else ()  # CV-45
        own = (d for n, d in self.dtypes.items() if d in FORMATS and n in self.inputs and n not in weights)
        return widest(self.dtype, *own)

    def message(self, number: int) -> dict[str, Any]:
        """Return the case as a message of the protocol."""
        return {
            "type": "case",
            "id": number,
            "loss": self.loss,
            "inputs": {name: encode(array, self.dtype_of(name)) for name, array in self.inputs.items()},
            "parameters": {name: to_json(value) for name, value in self.parameters.items()},
            "mode": self.mode,
            "order": self.order,
            "cotangent": None if self.cotangent is None else encode(self.cotangent, "float64"),
            "tangents": {name: encode(array, self.dtype_of(name)) for name, array in self.tangents.items()},
            "audit": self.audit,
            **({"results": True} if self.results else {}),
            **({"again": True} if self.again else {}),
            **({"split": list(self.split)} if self.split else {}),
        }


def inputs_of(loss: str, given: Mapping[str, Any]) -> dict[str, Array]:
    """Return nested lists as the arrays that the page of a loss asks for."""
    kinds = {name: entry["kind"] for name, entry in losses()[loss].inputs.items()}
    types = {"bool": bool, "label": np.int64, "index": np.int64}
    return {name: np.array(value, types.get(kinds[name], np.float64)) for name, value in given.items()}


def to_json(value: Any) -> Any:
    """Return a parameter for JSON, which has no infinity and no NaN: they travel as strings."""
    if isinstance(value, float) and (isinf(value) or isnan(value)):
        return "nan" if isnan(value) else "inf" if value > 0 else "-inf"
    return value


def from_json(value: Any) -> Any:
    """Return a parameter from JSON."""
    return {"nan": float("nan"), "inf": inf, "-inf": -inf}.get(value, value) if isinstance(value, str) else value


_ONE_OF = ("value", "results", "unsupported", "error")
_FIELDS = ("type", "id", *_ONE_OF, "gradients", "second", "changed")
NOT_A_LOSS = "NotALoss"  # the type of the error that stands for a call which returned no array of numbers


@dataclass(frozen=True)
class Answer:
    """What came back: arrays with their dtypes, or an error, or "unsupported", or why no answer came."""

    value: Array | None = None
    value_dtype: str = ""
    gradients: Mapping[str, Array] = field(default_factory=dict)
    gradient_dtypes: Mapping[str, str] = field(default_factory=dict)
    second: Mapping[str, Array] = field(default_factory=dict)
    error: Mapping[str, str] | None = None  # type, message, traceback: it raised
    unsupported: str | None = None
    failure: str | None = None  # crashed, hung or answered garbage
    results: tuple[Array, ...] = ()  # of a function that is no loss
    result_dtypes: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # what the audit found changed

    @property
    def problem(self) -> str | None:
        """Return why there is nothing to compare, if so."""
        if self.failure:
            return self.failure
        return f"raised {self.error['type']}: {self.error['message']}" if self.error else None

    @property
    def refused(self) -> bool:
        """Whether the call was turned down, as illegal input must be; to return what is no loss is not to refuse."""
        return bool(self.unsupported) or (self.error is not None and self.error["type"] != NOT_A_LOSS)


def read_answer(message: Mapping[str, Any]) -> Answer:
    """Return the answer in a message of the protocol; ValueError if it is none."""
    stray = [name for name in message if name not in _FIELDS]
    if stray:
        raise ValueError(f"a field {cut(repr(stray[0]), 100)}{meant(str(stray[0]), _FIELDS)}")
    said = [name for name in _ONE_OF if name in message]
    if len(said) > 1:
        raise ValueError(f"{said[0]} and {said[1]} at once")
    if "error" in message:
        error = message["error"]
        if not isinstance(error, dict) or "type" not in error:
            raise ValueError("an error without a type")
        return Answer(
            error={
                "type": cut(str(error["type"]), 100),
                "message": cut(str(error.get("message", ""))),
                "traceback": cut(str(error.get("traceback", "")), 3 * LONGEST),
            }
        )
    if "unsupported" in message:
        return Answer(unsupported=cut(str(message["unsupported"])))
    for part, kind in (("gradients", dict), ("second", dict), ("changed", list), ("results", list)):
        if not isinstance(message.get(part) or kind(), kind):
            raise ValueError(f"{part} is no {kind.__name__}")
    gradients = {name: decode(wire) for name, wire in (message.get("gradients") or {}).items()}
    if "results" in message:
        arrays, dtypes = zip(*map(decode, message["results"]), strict=True) if message["results"] else ((), ())
        return Answer(
            results=arrays,
            result_dtypes=dtypes,
            gradients={name: array for name, (array, _) in gradients.items()},
            changed=tuple(map(str, message.get("changed") or ())),
        )
    value, value_dtype = decode(message.get("value"))
    if value_dtype not in FORMATS:
        raise ValueError(f"a loss of dtype {value_dtype}")
    second = {name: decode(wire)[0] for name, wire in (message.get("second") or {}).items()}
    return Answer(
        value=value,
        value_dtype=value_dtype,
        gradients={name: array for name, (array, _) in gradients.items()},
        gradient_dtypes={name: dtype for name, (_, dtype) in gradients.items()},
        second=second,
        changed=tuple(map(str, message.get("changed") or ())),
    )
