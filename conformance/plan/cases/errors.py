"""What can be wrong with a call, from the signature on its page: the same questions for every loss and function.

A question has a clause and a label, and one or more calls that are wrong in the same way, each a legal call with one
thing changed. What only one loss has stands with its probes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.cases import error_options, error_second_set
from lossproof.conformance.plan.cases.wrong import Wrong, no_features, not_one_a_unit, same, twice_as_wide, typed
from lossproof.spec import functions, losses


def wrongs(name: str) -> dict[tuple[str, str], list[Wrong]]:
    """Return what can be wrong with a call of a loss or of another function, by clause and label."""
    entry = losses()[name].front if name in losses() else functions()[name]
    inputs, options = entry["inputs"], entry.get("parameters", {})
    found: dict[tuple[str, str], list[Wrong]] = {}
    for wrong in (*_inputs(inputs), *_missing(inputs), *_options(options)):
        found.setdefault((wrong.clause, wrong.label), []).append(wrong)
    return found


def _options(options: Mapping[str, Any]) -> Iterator[Wrong]:
    for clause, label, given in error_options.wrong(options):
        yield Wrong(clause, label, parameters=given)


def _missing(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    for name, given in inputs.items():
        if not given.get("optional"):
            yield Wrong("CV-38", f"no {name}", missing=(name,))


def _inputs(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    if "candidates" in inputs:
        yield from error_second_set.wrong()
        inputs = {name: given for name, given in inputs.items() if name not in error_second_set.ARGUMENTS}
    rows = [n for n, given in inputs.items() if given["kind"] == "float" and "..." in given["shape"].split()]
    if rows:
        given = inputs[rows[0]]
        yield from _stacked(rows, given.get("clause", "CV-24"), features="D" in given["shape"].split())
    elif any(given["kind"] == "float" for given in inputs.values()):
        yield from _batch(inputs)
    for name, given in inputs.items():
        if given["kind"] == "label":
            others = [n for n in inputs if n != name]
            required = any(not inputs[n].get("optional") for n in others)
            yield from _labels(name, None if not others else () if required else (others[0],))
        if given["kind"] == "bool":
            yield from _booleans(name, given)
        if given["kind"] == "weight":
            yield from _weights(name) if given["shape"] != "K" else _class_weights(name, given["clause"])


def _stacked(rows: list[str], clause: str, *, features: bool) -> Iterator[Wrong]:
    """Yield rows (..., D), or numbers (...), that do not go together: CV-24 to CV-26."""
    for name in rows:
        yield Wrong(clause, "rows broadcast", {name: lambda a: a[:1]})
        yield Wrong(clause, "rows broadcast", {name: lambda a: a[0]})
        if features:
            yield Wrong(clause, "features broadcast", {name: lambda a: a[..., :1]})
        if name != rows[0]:
            for other in HALVES:
                yield Wrong("CV-26", "rows of two dtypes", dtypes={name: other})
    if features:
        yield Wrong("CV-25", "no features", dict.fromkeys(rows, no_features))
    for dtype in ("int64", "int32", "bool"):
        yield Wrong("CV-26", f"{dtype} rows", dict.fromkeys(rows, typed(dtype)), dict.fromkeys(rows, dtype))


def _batch(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield rows (B, D), and tables (C, D), that are none or do not go together: CV-25, CV-26, CV-34."""
    floats = {n: given for n, given in inputs.items() if given["kind"] == "float"}
    first = "embeddings" if "embeddings" in floats else next(iter(floats))
    wide = [n for n, given in floats.items() if given["shape"].split()[-1] == floats[first]["shape"].split()[-1]]
    if len(floats[first]["shape"].split()) == 2:
        for every in ([first], wide):
            yield Wrong("CV-25", "no features", dict.fromkeys(every, no_features))
    for name, given in floats.items():
        yield from _shapes(name, given, floats, plain=name == first)
        rows = "rows" if name == first else name
        for dtype, label in (("int64", f"integer {rows}"), ("bool", f"boolean {rows}")):
            yield Wrong("CV-26", label, {name: typed(dtype)}, {name: dtype})
        if name != first and given["shape"] != "T":
            yield Wrong("CV-26", f"{name} narrower than {first}", dtypes={name: "float16"})
            for one, other in itertools.permutations(HALVES):
                others = dict.fromkeys(floats, one)
                yield Wrong("CV-26", f"{name} of the other half format", dtypes=others | {name: other})
        if given["shape"] == "T":
            for narrow in (name, first):
                yield Wrong("CV-26", f"{name} of another dtype", dtypes={narrow: "float16"})


def _shapes(name: str, given: Mapping[str, Any], floats: Mapping[str, Any], *, plain: bool) -> Iterator[Wrong]:
    symbols, own = given["shape"].split(), "" if plain else f"{name} of "
    if len(symbols) != 2:
        if symbols == ["N"]:
            yield Wrong(given["clause"], f"a matrix of {name}", {name: lambda a: np.stack([a, a])})
        return
    shared = [s for n, other in floats.items() if n != name for s in other["shape"].split()]
    counted = symbols[0] in shared and not plain  # one row for each row, or class, of another array
    of_axes = "CV-34" if counted else given.get("clause", "CV-34")
    yield Wrong(of_axes, f"{own}one axis", {name: lambda a: a[:, 0]})
    yield Wrong(of_axes, f"{own}three axes", {name: lambda a: a[:, None]})
    if plain:
        return
    of_width = of_axes if symbols[1] == "D" else given.get("clause", "CV-34")
    for change in (twice_as_wide, lambda a: a[:, :1], no_features, lambda a: twice_as_wide(a)[:0]):
        yield Wrong(of_width, f"{name} of another width", {name: change})
    if counted:
        for change in (lambda a: np.concatenate([a, a[:1]]), lambda a: a[:1], lambda a: a[:-1]):
            yield Wrong(given.get("clause", "CV-34"), f"another number of rows of {name}", {name: change})
    if symbols[0] in ("C", "K"):
        yield Wrong("CV-34", f"{name} without rows", {name: lambda a: a[:0]})


def _labels(name: str, beside: tuple[str, ...] | None) -> Iterator[Wrong]:
    """Yield wrong labels, and labels that are not one a row, `beside` the input that says how many rows there are."""
    yield Wrong("CV-31", "float labels", {name: lambda a: a.astype(float)}, {name: "float32"})
    yield Wrong("CV-31", "float labels", {name: lambda a: a.astype(float)}, {name: "float64"})
    yield Wrong("CV-31", "boolean labels", {name: lambda a: a > 0}, {name: "bool"})
    yield Wrong("CV-31", "labels (B, 1)", {name: lambda a: a[:, None]})
    yield Wrong("CV-31", "one-hot labels", {name: lambda a: np.eye(2, dtype=np.int64)[a % 2]})
    if beside is not None:
        yield Wrong("CV-31", "too few labels", {name: lambda a: a[:-1]}, beside=beside)
        yield Wrong("CV-31", "too many labels", {name: lambda a: np.append(a, a[:1])}, beside=beside)
        yield Wrong("CV-31", "one label for all", {name: lambda a: a[:1]}, beside=beside)


def _booleans(name: str, given: Mapping[str, Any]) -> Iterator[Wrong]:
    of_type, shaped = ("CV-29", "CV-30") if name == "mask" else (given["clause"], given["clause"])
    axis = "B" if given["shape"] == "B" else "N"
    for dtype, word in (("float32", "numbers"), ("int64", "integers"), ("uint8", "bytes")):
        yield Wrong(of_type, f"{name} of {word}", {name: typed(dtype)}, {name: dtype})
    yield from not_one_a_unit(shaped, name, axis)


def _weights(name: str) -> Iterator[Wrong]:
    for dtype in ("int64", "int32", "bool"):
        yield Wrong("CV-45", f"{dtype} {name}", {name: typed(dtype)}, {name: dtype})
    yield Wrong("CV-45", f"{name} narrower than the rows", {name: same}, {name: "float16"})
    yield from not_one_a_unit("CV-45", name, "B")


def _class_weights(name: str, clause: str) -> Iterator[Wrong]:
    for dtype in ("int64", "int32", "bool"):
        yield Wrong(clause, f"{dtype} {name}", {name: typed(dtype)}, {name: dtype})
    yield Wrong(clause, f"{name} narrower than the logits", {name: same}, {name: "float16"})
    yield Wrong(clause, f"{name} (K, 1)", {name: lambda a: a[:, None]})
    yield Wrong(clause, f"{name} (1, K)", {name: lambda a: a[None]})
    yield Wrong(clause, f"{name} of one class", {name: lambda a: a[:1]})
    yield Wrong(clause, f"{name} of another length", {name: lambda a: np.append(a, a[:1])})
