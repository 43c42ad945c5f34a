"""Calls of the functions that are no losses with one thing wrong, from what their front matter says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossproof.conformance.arrays import Array
from lossproof.spec import functions

_FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong: the clause that forbids it, and how a legal call becomes that."""

    clause: str
    label: str
    inputs: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def wrongs(name: str) -> dict[str, Wrong]:
    """Return what can be wrong with a call of a function, by "clause label"."""
    entry = functions()[name]
    found = [*_inputs(entry["inputs"]), *_parameters(entry.get("parameters", {}))]
    return {f"{wrong.clause} {wrong.label}": wrong for wrong in found}


def _inputs(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    floats = [key for key, given in inputs.items() if given["kind"] == "float"]
    for key, given in inputs.items():
        if given["kind"] == "float":
            yield Wrong("CV-26", f"integer {key}", {key: lambda a: np.ones(a.shape, np.int64)}, {key: "int64"})
            if given.get("clause") and given["shape"] == "N":
                yield Wrong(given["clause"], f"a matrix of {key}", {key: lambda a: np.stack([a, a])})
            if len(floats) > 1:
                yield Wrong("CV-26", f"{key} of another dtype", {key: lambda a: np.ones(a.shape)}, {key: "float16"})
            if len(given["shape"].split()) == 2:
                yield Wrong("CV-34", f"{key} of one axis", {key: lambda a: a[0]})
                if len(floats) > 1:
                    yield Wrong("CV-34", f"{key} of another width", {key: lambda a: np.repeat(a, 2, axis=1)})
                    yield Wrong("CV-34", f"{key} of one feature", {key: lambda a: a[:, :1]})
        if given["kind"] == "label":
            yield Wrong("CV-31", "float labels", {key: lambda a: a.astype(float)}, {key: "float32"})
            yield Wrong("CV-31", "boolean labels", {key: lambda a: a > 0}, {key: "bool"})
            yield Wrong("CV-31", "labels (B, 1)", {key: lambda a: a[:, None]})
            if len(inputs) > 1:
                yield Wrong("CV-31", "too few labels", {key: lambda a: a[:-1]})
        if given["kind"] == "bool" and key != "mask":
            yield Wrong(given["clause"], f"{key} of integers", {key: lambda a: a.astype(np.int64)}, {key: "int64"})
            yield Wrong(given["clause"], f"{key} of floats", {key: lambda a: a.astype(float)}, {key: "float32"})
            yield Wrong(given["clause"], f"{key} (N, 1)", {key: lambda a: a[:, None]})
            yield Wrong(given["clause"], f"{key} of one pair", {key: lambda a: a[:1]})
        if key == "mask":
            yield Wrong("CV-29", "mask of floats", {key: lambda a: a.astype(float)}, {key: "float32"})
            yield Wrong("CV-29", "mask of integers", {key: lambda a: a.astype(np.int64)}, {key: "int64"})
            yield Wrong("CV-29", "mask of bytes", {key: lambda a: a.astype(np.uint8)}, {key: "uint8"})
            yield Wrong("CV-30", "mask (B, 1)", {key: lambda a: a[:, None]})


def _parameters(parameters: Mapping[str, Any]) -> Iterator[Wrong]:
    for key, given in parameters.items():
        if given["kind"] == "choice":
            yield Wrong("CV-27", f"unknown {key}", parameters={key: "unheard of"})
        elif given["kind"] == "real":
            above = re.fullmatch(r"[\[(]\S+, ([\d.]+)\]", given["range"])
            values = (-0.5, float("nan"), *([float(above[1]) + 0.5] if above else []))
            for value in values:
                yield Wrong("CV-28", f"{key} {value:g}", parameters={key: value})
        elif given.get("range") == "outside [0, C)":
            yield Wrong("CV-28", f"{key} 0", parameters={key: 0})
