"""Functions that are no losses: their worked examples, and drawn calls against the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.checks.function_calls import (
    answer,
    ask,
    calls,
    fixed,
    offered,
    plain_dtype,
    plain_probe,
    possible,
    remember,
    right,
    sound,
)
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.functions import Call, examples
from lossproof.conformance.plan.probe import OfFunctions, Probe
from lossproof.spec import functions


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the examples of the clause; or, with the option `drawn`, calls whose arguments are drawn."""
    offered(judge, probe)
    options = probe.of(OfFunctions)
    dtype = options.dtype or plain_dtype(judge)
    limits = judge.session.hello["functions"][probe.loss].get("limits", {})
    if dtype not in judge.session.hello["dtypes"] or dtype not in limits.get("dtype", [dtype]):
        raise Unsupported(f"dtype = {dtype!r}")
    if not options.drawn:
        asked: Iterable[Call] = possible(judge, examples(probe.loss, [probe.clause], dtype))
    elif right(judge, probe) if options.plain else sound(judge, probe):
        asked = calls(judge, probe, dtype)
    else:
        judge.obscured = result.planned = 1  # an example, or a plain call, is wrong already, and names its own clause
        return
    for case, wanted, exact in asked:
        result.planned += 1
        mismatch = ask(judge, case, wanted, exact)
        if mismatch and options.lenient and mismatch.errored:
            raise Unsupported(f"refused: {mismatch.got}")
        if mismatch:
            result.findings.append(judge.finding(_named(judge, probe, mismatch, (case, wanted, exact)), mismatch, case))
            break
    if options.plain:
        remember(judge, probe, sound=not result.findings)


def _named(judge: Judge, probe: Probe, mismatch: Mismatch, call: Call) -> Probe:
    """Return the probe with the clause of what is wrong: a number that is wrong in a plain call too is no dtype's."""
    case, wanted, exact = call
    if not probe.of(OfFunctions).plain:
        plain = replace(case, dtype=plain_dtype(judge), dtypes={})
        typed = case.dtype != plain.dtype or bool(case.dtypes)
        if mismatch.kind != "value" or not typed or not ask(judge, plain, wanted, exact):
            return probe
        case, probe = plain, replace(probe, clause=plain_probe(probe.loss).clause)
    return replace(probe, clause=_blame(judge, case) or probe.clause)


def _blame(judge: Judge, case: Case) -> str | None:
    """Return the clause of the first thing without which a drawn call is right."""
    for clause, inputs, parameters in _simpler(case):
        plain = replace(case, inputs={**case.inputs, **inputs}, parameters={**case.parameters, **parameters})
        wanted = answer(case.loss, plain.inputs, {**fixed(judge, case.loss), **plain.parameters})
        if ask(judge, plain, wanted, False) is None:
            return clause
    return None


def _simpler(case: Case) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield what can be left out, each with its clause: an option, the mask, NaN."""
    entry = functions()[case.loss]
    for name, given in entry.get("parameters", {}).items():
        if "clause" in given and given["kind"] == "bool" and case.parameters.get(name, given["default"]):
            yield given["clause"], {}, {name: False}
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
