"""Functions that are no losses: their worked examples, and drawn calls against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.function_gradients import wrong_gradient
from lossproof.conformance.judge.functions import examples_right, failure, failure_of_example, obscured, offer_of
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.functions import calls, examples
from lossproof.conformance.plan.plan import plain_probe
from lossproof.conformance.plan.probe import OfFunctions, Probe
from lossproof.spec import Example, functions


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the examples of the clause; or, with the option `drawn`, calls whose arguments are drawn."""
    options = probe.of(OfFunctions)
    offer = offer_of(judge, probe, compared=options.drawn)
    dtype = options.dtype or offer.plain_dtype
    if dtype not in offer.dtypes:
        raise Unsupported(f"dtype = {dtype!r}")
    if not options.drawn:
        return _examples(judge, probe, result, examples(probe.loss, offer))
    if options.plain and not examples_right(judge, probe.loss):
        judge.obscured = result.planned = 1
        return None
    if not options.plain and obscured(judge, probe, result):
        return None
    if options.wider and "float64" not in offer.dtypes:
        raise Unsupported("dtype = 'float64'")
    asked = wrong_gradient if options.gradient else failure
    for case in calls(offer, probe, dtype, judge.seed, judge.examples):
        result.planned += 1
        mismatch = asked(judge, case)
        if mismatch and options.lenient and mismatch.errored:
            raise Unsupported(f"refused: {mismatch.got}")
        if mismatch:
            named = probe if options.own_clause else replace(probe, clause=_clause(judge, probe, mismatch, case))
            result.findings.append(judge.finding(named, mismatch, case))
            break
    if options.plain:
        judge.plain.right(probe.loss, "drawn", lambda: not result.findings)
    return None


def _examples(judge: Judge, probe: Probe, result: Result, known: Sequence[Example]) -> None:
    for example in (example for example in known if example.clause == probe.clause):
        result.planned += 1
        case, mismatch = failure_of_example(judge, example)
        if mismatch:
            result.findings.append(judge.finding(probe, mismatch, case))
            return


def _clause(judge: Judge, probe: Probe, mismatch: Mismatch, case: Case) -> str:
    """Return the clause of what is wrong: a number that is wrong in a plain call too is no dtype's."""
    clause = probe.clause
    if not probe.of(OfFunctions).plain:
        plain = replace(case, dtype=judge.offers[case.loss].plain_dtype, dtypes={})
        typed = case.dtype != plain.dtype or bool(case.dtypes)
        if mismatch.kind != "value" or not typed or not failure(judge, plain):
            return clause
        case, clause = plain, plain_probe(probe.loss).clause
    return _blame(judge, case) or clause


def _blame(judge: Judge, case: Case) -> str | None:
    """Return the clause of the first thing without which a drawn call is right."""
    for clause, inputs, parameters in _simpler(case):
        plain = replace(case, inputs={**case.inputs, **inputs}, parameters={**case.parameters, **parameters})
        if failure(judge, plain) is None:
            return clause
    return None


def _simpler(case: Case) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield what can be left out, each with its clause: an option, the mask, NaN."""
    entry = functions()[case.loss]
    for name, given in entry.get("parameters", {}).items():
        if "clause" in given and given["kind"] == "bool" and case.parameters.get(name, given["default"]):
            yield given["clause"], {}, {name: False}
        elif "clause" in given and given["kind"] in ("choice", "count") and name in case.parameters:
            yield given["clause"], {}, {name: given.get("default")}
        elif "clause" in given and name in case.parameters:
            labels = np.where(case.inputs["labels"] == case.parameters[name], given["default"], case.inputs["labels"])
            yield given["clause"], {"labels": labels}, {name: given["default"]}
    wide = {n: a % 2**20 for n, a in case.inputs.items() if n == "labels" and np.abs(a).max(initial=0) > 2**31}
    if wide:
        yield "CV-32", wide, {}
    if "mask" in case.inputs and "clause" in entry["inputs"]["mask"]:
        mask, rows = case.inputs["mask"], case.inputs["embeddings"]
        rows = np.where(mask[:, None], rows, np.nan_to_num(rows))  # NaN that takes part would hide what is wrong
        yield entry["inputs"]["mask"]["clause"], {"mask": np.ones_like(mask), "embeddings": rows}, {}
    if "nan" in entry:
        floats = {n: a for n, a in case.inputs.items() if a.dtype.kind == "f"}
        largest = max(np.max(np.abs(a[np.isfinite(a)]), initial=0.0) for a in floats.values()) or 1.0
        yield entry["nan"], {n: np.where(np.isfinite(a), a, largest) for n, a in floats.items()}, {}
