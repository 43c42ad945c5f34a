"""Bad input of a function that is no loss raises; where a page leaves a choice, the row in question takes no part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.checks.function_calls import (
    answer,
    can_give,
    legal,
    offered,
    plain_dtype,
    plain_probe,
    sound,
)
from lossproof.conformance.checks.function_results import judged
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.error_options import UNHEARD
from lossproof.conformance.plan.cases.errors import Wrong, wrongs
from lossproof.conformance.plan.probe import OfRefusals, Probe
from lossproof.spec import functions

SIZES = {"...": 3, "B": 3, "C": 3, "Q": 3, "D": 2, "N": 4, "T": 3}  # a shape that is wrong is no other right one
ROW = 1
# A call, what must come back (None: an error), whether an error is as right, whether nothing is wrong with the call
Call = tuple[Case, list[Any] | None, bool, bool]


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the call that is wrong; or, with an option, calls whose label or index is outside its range."""
    offered(judge, probe)
    if not sound(judge, probe):
        judge.obscured = result.planned = 1
        return
    for case, wanted, choice, right in _calls(judge, probe):
        result.planned += 1
        found = judge.ask(case)
        if choice and found.refused:
            continue
        mismatch: Mismatch | None = judged(case, found, wanted, exact=False, ours=judge.oracle.ours)
        if mismatch and choice and not mismatch.errored:
            mismatch = replace(mismatch, want=f"an error, or {mismatch.want} as without that row")
        if mismatch:
            blamed = replace(probe, clause=plain_probe(probe.loss).clause) if right else probe
            result.findings.append(judge.finding(blamed, mismatch, case))
            return


def _calls(judge: Judge, probe: Probe) -> Iterator[Call]:
    """Yield calls that are wrong, and before them those that they are made of."""
    case, _ = legal(judge, probe, 0, plain_dtype(judge), SIZES)
    if "mask" in functions()[probe.loss]["inputs"] and can_give(judge, probe.loss, "mask"):
        case = replace(case, inputs={**case.inputs, "mask": np.arange(SIZES["B"]) != 0})
    case = _whole(case)
    asked = probe.of(OfRefusals)
    if asked.wrong:
        known = {"bool", "int64", "int32", *judge.session.hello.get("integers", ()), *judge.session.hello["dtypes"]}
        given = [wrong for wrong in wrongs(probe.loss)[probe.clause, probe.label] if _given(judge, probe.loss, wrong)]
        if not given:
            raise Unsupported(f"no argument that {probe.label} speaks of")
        for wrong in given:
            if set(wrong.dtypes.values()) <= known:
                yield wrong.applied(case), None, False, False
    elif asked.index:
        name, size = asked.index, SIZES["Q"]
        for index in (size, -1, 7 * size + 1):
            legal_one = replace(case, inputs={**case.inputs, name: np.array(index % size)})
            wanted = answer(probe.loss, legal_one.inputs, case.parameters)
            yield legal_one, wanted, False, True
            yield replace(case, inputs={**case.inputs, name: np.array(index)}), wanted, True, False
    else:
        yield from _labels(judge, case)


def _given(judge: Judge, name: str, wrong: Wrong) -> bool:
    """Whether the implementation has what a wrong call gives; an unknown option is one that nobody has."""
    options = [option for option in wrong.parameters if option != UNHEARD]
    return all(can_give(judge, name, argument) for argument in (*wrong.inputs, *options))


def _labels(judge: Judge, case: Case) -> Iterator[Call]:
    """Yield calls with one label out of range, of a row that takes part and of one that does not."""
    entry = functions()[case.loss].get("parameters", {})
    options = {n: -5 for n in ("unlabelled",) if n in entry and can_give(judge, case.loss, n)}
    if not can_give(judge, case.loss, "mask"):
        raise Unsupported("no argument mask")
    labels = np.arange(SIZES["B"]) % SIZES["C"]
    part = case.inputs.get("mask", np.ones(len(labels), bool))
    case = replace(case, parameters={**case.parameters, **options})
    for row in (ROW, 0):
        inputs = {**case.inputs, "labels": labels, "mask": part & (np.arange(len(labels)) != row)}
        wanted = answer(case.loss, inputs, case.parameters)
        yield replace(case, inputs=inputs), wanted, False, True
        for wild in (SIZES["C"], -1, -7, 10**6):
            given = {**case.inputs, "labels": np.where(np.arange(len(labels)) == row, wild, labels)}
            yield replace(case, inputs=given), wanted, bool(part[row]), False
        if (
            "uint64" in judge.session.hello.get("integers", ()) and part[row]
        ):  # 2**64 - 1 is not -1, the label of rows without an identity
            most = labels.astype(np.uint64)
            most[row] = np.iinfo(np.uint64).max
            none = dict.fromkeys(options, -1)
            given, parameters = {**case.inputs, "labels": most}, {**case.parameters, **none}
            yield replace(case, inputs=given, dtypes={"labels": "uint64"}, parameters=parameters), wanted, True, False


def _whole(case: Case) -> Case:
    """Return the case without NaN."""
    inputs = {n: np.nan_to_num(a, nan=1.5) if a.dtype.kind == "f" else a for n, a in case.inputs.items()}
    return replace(case, inputs=inputs)
