"""Functions that are no losses: their worked examples, and drawn calls against the reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import lossproof.reference as reference
from lossproof.conformance.arrays import FORMATS, Array
from lossproof.conformance.case import Case
from lossproof.conformance.cases.functions import KINDS, drawn
from lossproof.conformance.cases.space import generator
from lossproof.conformance.compare import trouble
from lossproof.conformance.judge import Judge, Unsupported
from lossproof.conformance.verdict import Mismatch, Probe, Result
from lossproof.spec import Example, clauses, functions

CALLS = 24  # drawn calls of a function, at the default effort of 6
_KINDS = {"bool": "b", "integer": "i"}
SLACK = 64.0  # units of the dtype of the inputs, of the largest number of the result


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the examples of the clause; or, with the option `drawn`, calls whose arguments are drawn."""
    if probe.loss not in judge.session.hello.get("functions", {}):
        raise Unsupported(f"no function {probe.loss}")
    if probe.options.get("drawn") and judge.oracle.exact_only:
        raise Unsupported("the reference is not judged by itself")
    dtype = "float64" if "float64" in judge.session.hello["dtypes"] else "float32"
    calls = _examples(probe.loss, [probe.clause], dtype)
    if probe.options.get("drawn"):
        calls = _drawn(judge, probe, dtype)
        if any(_judge(judge, *call) for call in _examples(probe.loss, clauses(), dtype)):
            judge.obscured = result.planned = 1  # an example is wrong already, and names its own clause
            return
    for case, wanted, exact in calls:
        result.planned += 1
        mismatch = _judge(judge, case, wanted, exact)
        if mismatch:
            result.findings.append(judge.finding(probe, mismatch, case))
            return


def _examples(name: str, asked: Iterable[str], dtype: str) -> Any:
    for example in (e for clause in asked for e in clauses()[clause].examples):
        if example.function == name:
            yield _case(example, dtype), None if example.raises else _results(example), example.exact


def _drawn(judge: Judge, probe: Probe, dtype: str) -> Any:
    for number in range(max(1, round(CALLS * judge.examples / 6))):
        inputs, parameters = drawn(probe.loss, generator(judge.seed, probe.name, number))
        found = getattr(reference, probe.loss)(**inputs, **parameters)
        wanted = list(found) if isinstance(found, tuple) else [found]
        yield Case(probe.loss, inputs, dtype, parameters, order=0, results=True), wanted, False


def _case(example: Example, dtype: str) -> Case:
    entries = functions()[str(example.function)]["inputs"]
    inputs = {name: np.array(value, KINDS[entries[name]["kind"]]) for name, value in example.inputs.items()}
    return Case(str(example.function), inputs, dtype, example.parameters, order=0, results=True)


def _results(example: Example) -> list[Any]:
    many = len(functions()[str(example.function)]["returns"]) > 1
    return list(example.result) if many else [example.result]


def _judge(judge: Judge, case: Case, wanted: list[Any] | None, exact: bool) -> Mismatch | None:
    answer = judge.ask(case)
    if wanted is None:
        if answer.error or answer.unsupported:
            return None
        return trouble(answer) or Mismatch("accepted", "the call", "results", "an error", 0.0, np.inf)
    found = trouble(answer)
    if found or answer.unsupported:
        return found
    if len(answer.results) != len(wanted):
        return Mismatch("failure", "number of results", len(answer.results), len(wanted), 0.0, np.inf, errored=True)
    names = functions()[case.loss]["returns"]
    for name, got, want in zip(names, answer.results, wanted, strict=True):
        entry = names[name]
        if got.dtype.kind != _KINDS.get(entry["kind"], got.dtype.kind):
            return Mismatch(
                "dtype", f"dtype of {name}", got.dtype.name, entry["kind"], 0.0, np.inf, clause=entry.get("clause")
            )
        mismatch = _compare(name, got, want, 0.0 if exact else SLACK * FORMATS[case.dtype].roundoff)
        if mismatch:
            return mismatch
    return None


def _compare(name: str, got: Array, want: Any, slack: float) -> Mismatch | None:
    """Compare one result; the entries of an example that are "unspecified" stand for any number."""
    left_open = np.asarray(want, object) == "unspecified"
    numbers = np.where(left_open, 0, np.asarray(want, object)).astype(float)
    if got.shape != numbers.shape:
        return Mismatch("failure", f"shape of {name}", got.shape, numbers.shape, 0.0, np.inf, errored=True)
    if not got.size:
        return None
    finite = np.isfinite(numbers)
    room = slack * np.max(np.abs(numbers), initial=0.0, where=finite)
    values = got.astype(float)
    with np.errstate(invalid="ignore"):
        right = (values == numbers) | (np.isnan(values) & np.isnan(numbers)) | (np.abs(values - numbers) <= room)
    wrong = np.argwhere(~(right | left_open))
    if not len(wrong):
        return None
    place = tuple(map(int, wrong[0]))
    where = name + ("[" + ", ".join(map(str, place)) + "]" if place else "")
    return Mismatch("value", where, float(values[place]), float(numbers[place]), float(room), np.inf)
