"""Drawn arguments for the functions of the pages that are no losses, from what their front matter says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.arrays import Array
from lossproof.spec import functions

KINDS = {"bool": bool, "float": np.float64, "label": np.int64, "index": np.int64, "integer": np.int64}
_SIZES = (1, 2, 3, 5, 8)


def drawn(name: str, rng: np.random.Generator) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return inputs and options of one legal call."""
    entry = functions()[name]
    options = {
        n: _option(o, rng) for n, o in entry.get("parameters", {}).items() if "default" not in o or rng.random() < 0.6
    }
    sizes: dict[str, int] = {}
    inputs = {}
    for key, given in entry["inputs"].items():
        if given.get("optional") and rng.random() < 0.5:
            continue
        shape = [("9" if axis == "..." else axis) for axis in given["shape"].split()]
        for axis in shape:
            sizes.setdefault(axis, int(axis) if axis.isdigit() else int(rng.choice(_SIZES)))
        inputs[key] = _array(given, tuple(sizes[axis] for axis in shape), rng)
    for key, given in entry["inputs"].items():  # once every size is known
        if key in inputs and given["kind"] in ("label", "index"):
            inputs[key] = _integers(given, inputs[key].shape, sizes, options, entry, rng)
    return inputs, options


def _array(given: dict[str, Any], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if given["kind"] == "bool":
        return np.asarray(rng.random(shape) < 0.6)
    numbers = np.asarray(rng.standard_normal(shape))
    if str(given.get("range", "")).startswith(("[0", "(0")):
        numbers = np.abs(numbers)
    return np.sort(numbers) if given.get("sorted") else numbers


def _integers(
    given: dict[str, Any],
    shape: tuple[int, ...],
    sizes: dict[str, int],
    options: dict[str, Any],
    entry: Mapping[str, Any],
    rng: np.random.Generator,
) -> Array:
    bound = re.fullmatch(r"\[0, (\w+)\)", given.get("range", ""))
    found = np.asarray(rng.integers(0, sizes[bound[1]] if bound else 4, size=shape))
    other = given.get("or")
    if other is None:
        return found
    number = options.get(other, entry["parameters"][other]["default"])
    return np.where(rng.random(shape) < 0.4, number, found)


def _option(entry: dict[str, Any], rng: np.random.Generator) -> Any:
    """Return a value of an option: one of its choices, its default, or a number of [0, 1]."""
    if entry["kind"] == "bool":
        return bool(rng.random() < 0.5)
    if entry["kind"] == "choice":
        return str(rng.choice(entry["choices"]))
    if entry["kind"] == "real":
        return float(rng.choice([0.25, 0.5, 0.9]))
    return entry["default"]
