"""Calls of the functions of the pages that are no losses: worked examples, and arguments drawn from signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS, Array, arithmetic, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.probe import OfFunctions, Probe
from lossproof.spec import Example, clauses, functions

CALLS = 24  # drawn calls of a function, at the default effort of 6
# more than eight bits count, and than a half format adds up one by one
MANY = {"B": 601, "C": 1, "D": 2, "N": 601, "...": 601}
MOST = {"B": 901, "D": 2}  # of a dozen classes, more triplets than float32 has whole numbers
OFTEN = {"B": 9, "C": 2, "...": 25}  # several rows of one class
FEW = ({"B": 5, "C": 3, "D": 2, "Q": 3, "N": 8, "T": 3, "...": 9}, {"B": 1, "C": 1, "D": 1, "Q": 1, "N": 1, "T": 1})
KINDS = {"bool": bool, "float": np.float64, "label": np.int64, "index": np.int64, "integer": np.int64}
_SIZES = (1, 2, 3, 5, 8)
_SCALES = {"float16": (0, 6, -6), "bfloat16": (0, 20, -20)}  # powers of two
_UNLABELLED = (-1, -5, 100)
_ENOUGH = (MOST["B"], 10**6)  # a bound that no row reaches
_NAN = 0.2  # share of the calls with NaN in a row, or a distance, that takes part
_ZERO = 0.3  # share of the inputs with a row of 0, where a page asks for it
_INFINITE = 0.2  # share of the calls with an infinite distance
_MANY = 100
_PERIOD = 97  # of very many numbers: a line that shows them stays short
_LEAST = 0.1  # of the numbers to which others lie near


def calls(offer: Offer, probe: Probe, dtype: str, seed: int, examples: int) -> Iterator[Case]:
    """Yield the drawn calls of a probe."""
    asked = probe.of(OfFunctions)
    counted = [n for n, given in functions()[probe.loss]["inputs"].items() if given["kind"] in ("label", "index")]
    for number in range(max(1, round(CALLS * probe.effort * offer.effort * examples / 6))):
        sizes = MANY if number in (2, 6, 10) and asked.many else OFTEN if number % 4 == 3 else {}
        drawn = "float64" if asked.wider else dtype
        case = legal(offer, probe, seed, number, drawn, sizes if asked.sizes is None else asked.sizes)
        if asked.integers:
            own = offer.integers[number % len(offer.integers)]
            lowest, highest = (0 if own.startswith("u") else -100), 100
            if not all(((case.inputs[n] >= lowest) & (case.inputs[n] <= highest)).all() for n in counted):
                continue
            case = replace(case, dtypes=dict.fromkeys(counted, own))
        yield _widened(case, dtype, asked.wider) if asked.wider else case


def whole(case: Case) -> Case:
    """Return a case without NaN."""
    inputs = {n: np.nan_to_num(a, nan=1.5) if a.dtype.kind == "f" else a for n, a in case.inputs.items()}
    return replace(case, inputs=inputs)


def _widened(case: Case, dtype: str, wider: str) -> Case:
    """Return a case in float64 with all but one float input in another dtype."""
    narrow = {n: rounded(a, dtype) for n, a in case.inputs.items() if a.dtype.kind == "f" and n != wider}
    return replace(case, inputs={**case.inputs, **narrow}, dtype=dtype, dtypes={wider: "float64"})


def legal(
    offer: Offer, probe: Probe, seed: int, number: int, dtype: str = "", sizes: Mapping[str, int] | None = None
) -> Case:
    """Return a drawn call; of few shapes where each costs a compilation, and else of the sizes that are given.

    Rows take any numbers, so they get them: small and large. Distances have ties, and thresholds meet them.
    """
    entry, rng, dtype = functions()[probe.loss], generator(seed, probe.name, number), dtype or offer.plain_dtype
    sizes = {**(FEW[number % len(FEW)] if offer.costly else {}), **(sizes or {})}
    needed = [n for n, o in offer.parameters.items() if "default" not in o and not o.get("optional")]
    drawn = {n: _option(o, rng) for n, o in offer.parameters.items() if n in needed or rng.random() < 0.6}
    drawn |= {n: offer.limits[n][number % len(offer.limits[n])] for n in drawn if n in offer.limits}
    options = {n: value for n, value in drawn.items() if offer.has(n) or (n in needed and offer.neutral(n) is None)}
    inputs = _inputs(entry, {**offer.fixed, **options}, rng, dtype, sizes)
    if "far" in options and "far" not in offer.limits and rng.random() < 0.7:
        options["far"] = _met(inputs["same"], rng)
    if "nan" in entry and max((max(a.shape, default=0) for a in inputs.values()), default=0) < _MANY:
        _spoil(inputs, rng)  # many rows are for counts and sums
    inputs = {n: array for n, array in inputs.items() if n != "mask" or offer.has("mask")}
    return Case(probe.loss, inputs, dtype, options, order=0, results=True)


def _inputs(
    entry: Mapping[str, Any],
    options: Mapping[str, Any],
    rng: np.random.Generator,
    dtype: str,
    sizes: Mapping[str, int],
) -> dict[str, Array]:
    """Return drawn inputs for the options of a call; `sizes` gives axes their length."""
    lengths, inputs = dict(sizes), dict[str, Array]()
    unit = options.get("normalise", entry.get("parameters", {}).get("normalise", {}).get("default"))
    scale = 2.0 ** rng.choice(_SCALES.get(dtype, (0, 0, 20, -20, -45))) if "embeddings" in entry["inputs"] else 1.0
    scale = 1.0 if unit else scale  # the page's accuracy is that of rows and tables of about unit length
    for key, given in entry["inputs"].items():
        if given.get("optional") and rng.random() < 0.5:
            continue
        for axis in given["shape"].split():
            lengths.setdefault(axis, int(rng.choice(_SIZES)))
        shape = tuple(lengths[axis] for axis in given["shape"].split())
        if "scalar" in given and rng.random() < 0.2 and not sizes:
            shape = ()
        inputs[key] = _array(given, shape, rng, inputs)
        if inputs[key].size > _MANY * _PERIOD:
            inputs[key] = np.resize(inputs[key][:_PERIOD], shape)
        if given["kind"] == "float":
            inputs[key] = rounded(scale * inputs[key], dtype)
        if given.get("zeros") and len(inputs[key]) and rng.random() < _ZERO:
            inputs[key][rng.integers(len(inputs[key]))] = 0.0
        if "near" in given:
            inputs[key] = _near(inputs[key], inputs[given["near"]], options["margin"], dtype, rng)
    for key, given in entry["inputs"].items():  # once every size is known
        if key in inputs and given["kind"] in ("label", "index"):
            inputs[key] = _integers(given, inputs[key].shape, lengths, options, entry, rng)
    if unit:
        _one_orthant(inputs, rng)
    return inputs


def _met(same: Array, rng: np.random.Generator) -> float:
    """Return a rate that is met, as the arithmetic rounds it, or missed by little."""
    of, short = max(int(np.count_nonzero(~same)), 1), rng.random() < 0.5
    return float(rng.integers(short, of + 1) / of * (1.0 - 2.0**-22 * short))


def _one_orthant(inputs: dict[str, Array], rng: np.random.Generator) -> None:
    """Turn all rows so that no sum of two cancels: what is left of one would be divided by its small length."""
    rows = [name for name, array in inputs.items() if array.dtype.kind == "f" and array.ndim == 2]
    signs = rng.choice([-1.0, 1.0], size=inputs[rows[0]].shape[1])
    inputs.update({name: signs * np.abs(inputs[name]) for name in rows})


def _spoil(inputs: dict[str, Array], rng: np.random.Generator) -> None:
    """Put NaN into what is masked out, often, and into one place that takes part, at times."""
    numbers = inputs["embeddings" if "embeddings" in inputs else "distances"]
    if "mask" in inputs and rng.random() < 0.5:
        numbers[~inputs["mask"]] = np.nan
    if numbers.size and rng.random() < _NAN:
        numbers.flat[rng.integers(numbers.size)] = np.nan


def _array(given: Mapping[str, Any], shape: tuple[int, ...], rng: np.random.Generator, inputs: Any) -> Array:
    if given["kind"] == "bool":
        return np.asarray(rng.random(shape) < 0.6)
    numbers = np.asarray(rng.standard_normal(shape))
    if given.get("ties"):
        signed = "range" in given and rng.random() < 0.5
        numbers = numbers - 1.0 if signed else np.abs(numbers)  # most of them below 0, which is no bound
        numbers = np.where(rng.random(shape) < 0.7, np.rint(4 * numbers) / 4 + 0.0, numbers)
        if given.get("range", "").endswith("inf]") and numbers.size and rng.random() < _INFINITE:
            numbers.flat[rng.integers(numbers.size)] = np.inf
    if "from" in given and len(inputs[given["from"]]):
        source = inputs[given["from"]]
        numbers = numbers if (source < 0).any() else np.abs(numbers)
        numbers = np.where(rng.random(shape) < 0.5, rng.choice(source, size=shape), numbers)
    return np.sort(numbers) if given.get("sorted") and shape else numbers


def _near(numbers: Array, others: Array, margin: float, dtype: str, rng: np.random.Generator) -> Array:
    """Put some numbers next to the others, or a margin above them: not where rounding in the arithmetic decides."""
    far = others + margin
    exact = np.where(rng.random(numbers.shape) < 0.5, others, far)
    step = 2 * FORMATS[dtype].roundoff * 2.0 ** np.floor(np.log2(np.maximum(exact, _LEAST)))  # the last bit
    near = rounded(exact + rng.choice([-16, -1, 0, 1, 16], size=numbers.shape) * step, dtype)
    clear = (margin == 0) | (np.abs(near - far) > 8 * arithmetic(dtype).roundoff * far)
    return np.where(clear & (others > _LEAST) & (rng.random(numbers.shape) < 0.6), near, numbers)


def _integers(
    given: Mapping[str, Any],
    shape: tuple[int, ...],
    sizes: Mapping[str, int],
    options: Mapping[str, Any],
    entry: Mapping[str, Any],
    rng: np.random.Generator,
) -> Array:
    bound = re.fullmatch(r"\[0, (\w+)\)", given.get("range", ""))
    found = np.asarray(rng.integers(0, max(sizes[bound[1]], 1) if bound else 4, size=shape))
    if not bound and rng.random() < 0.5:
        found = found - 2 + rng.choice([0, 2**32, 2**62], size=shape)  # no int32, and no float64, tells all apart
    other = given.get("or")
    if other is None:
        return found
    number = options.get(other, entry["parameters"][other]["default"])
    return np.where(rng.random(shape) < 0.4, number, found)


def _option(entry: Mapping[str, Any], rng: np.random.Generator) -> Any:
    """Return a value of an option: one of its choices, a number in its range, or an integer that is no label."""
    if entry["kind"] == "bool":
        return bool(rng.random() < 0.5)
    if entry["kind"] == "choice":
        return str(rng.choice(entry["choices"]))
    if entry["kind"] == "real":
        return float(rng.choice([0.25, 0.5, 0.9, 0.3, 0.7, 0.0, 1.0 if entry["range"].endswith("1]") else 2.5]))
    return int(rng.choice(_ENOUGH if entry["kind"] == "count" else _UNLABELLED))


def examples(name: str, offer: Offer | None = None) -> list[Example]:
    """Return the worked examples of a function, or those whose options are offered."""
    found = [example for clause in clauses().values() for example in clause.examples if example.function == name]
    return [e for e in found if offer is None or offer.allows(e.parameters, e.inputs)]


def case_of(example: Example, offer: Offer) -> Case:
    """Return the call of a worked example, as it can be given."""
    entries = functions()[offer.name]["inputs"]
    inputs = {name: np.array(value, KINDS[entries[name]["kind"]]) for name, value in example.inputs.items()}
    parameters = {name: value for name, value in example.parameters.items() if offer.has(name)}
    return Case(offer.name, inputs, offer.plain_dtype, parameters, order=0, results=True)
