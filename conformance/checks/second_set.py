"""A second set of rows: an index that is no candidate, and labels of two dtypes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.own_term import left_alone
from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OfSecondSet, Probe


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask calls whose second set is unusual, or wrong in one entry."""
    ask = _two_dtypes if probe.of(OfSecondSet).dtypes else _wild

    def examine(structure: Structure) -> Finding | None:
        case = judge.case(probe, structure, 0)
        if case is None:
            return None
        result.planned += 1
        found = next(ask(judge, probe, structure, case), None)
        return judge.finding(probe, found[1], found[0]) if found else None

    judge.structures(probe, result, examine)


def _wild(judge: Judge, probe: Probe, structure: Structure, case: Case) -> Iterator[tuple[Case, Mismatch]]:
    """Let one anchor name a candidate that there is not: an error, or NaN in its own terms and nowhere else (PW-14)."""
    index, count = case.inputs["candidate_index"], len(case.inputs["candidates"])
    anchors = _with_terms(judge, case, structure)
    if not len(anchors):
        return
    row = int(generator(judge.seed, probe.name, structure).choice(anchors))
    nobody = replace(case, inputs={**case.inputs, "candidate_index": _changed(index, row, -1)})
    clean, spec = judge.ask(nobody), judge.judged(nobody, structure)  # the terms that it has without an index count
    for number in (count, -2, -count - 1, 2**31 - 1):
        wrong = replace(case, inputs={**case.inputs, "candidate_index": _changed(index, row, number)})
        mismatch = left_alone(judge, spec, clean, judge.ask(wrong), row)
        if mismatch:
            yield wrong, mismatch


def _with_terms(judge: Judge, case: Case, structure: Structure) -> Array:
    """Return the anchors that have a term where they name no candidate: NaN in their row shows it."""
    found = []
    for row in np.flatnonzero(case.inputs.get("mask", np.ones(len(case.inputs["labels"]), bool))):
        rows = case.inputs["embeddings"].copy()
        rows[row] = np.nan
        index = _changed(case.inputs["candidate_index"], int(row), -1)
        parameters = {**case.parameters, "reduction": "none"}
        inputs = {**case.inputs, "embeddings": rows, "candidate_index": index}
        own = judge.judged(replace(case, inputs=inputs, order=0), structure)
        value = judge.oracle.evaluate(replace(own, parameters={**own.parameters, **parameters})).value
        if np.isnan(value[row]).any():
            found.append(int(row))
    return np.array(found, np.intp)


def _changed(index: Array, row: int, number: int) -> Array:
    changed = index.copy()
    changed[row] = number
    return changed


def _two_dtypes(judge: Judge, probe: Probe, structure: Structure, case: Case) -> Iterator[tuple[Case, Mismatch]]:
    """Give the two arrays of labels in two dtypes: the same integer is the same label, and no other one is (PW-13)."""
    known = list(judge.session.hello.get("integers", ["int64"]))
    pairs = [(one, other) for one in known for other in known if one != other]
    turn = int(structure["variant"]) % max(len(pairs), 1)
    for one, other in (pairs[turn:] + pairs[:turn])[: 2 if judge.offers[case.loss].costly else 8]:
        labels, names = _at_opposite_ends(case, one, other)
        inputs = {**case.inputs, "labels": labels, "candidate_labels": names}
        typed = replace(case, inputs=inputs, dtypes={"labels": one, "candidate_labels": other})
        if judge.oracle.undecided(judge.judged(typed, structure)):
            continue
        if {one, other} != {"int32", "int64"} and judge.ask(typed).refused:
            continue
        failure = judge.judge_case(typed, structure, ("value",))
        if failure:
            yield failure


def _at_opposite_ends(case: Case, one: str, other: str) -> tuple[Array, Array]:
    """Return the labels, the last of them as -1, or the largest, and the candidates' as the largest, or -1.

    These are other integers, which have the same bits where only one of the dtypes has a sign.
    """
    labels, names = case.inputs["labels"], case.inputs["candidate_labels"]
    last = labels[-1]
    last_of = [-1 if dtype.startswith("int") else int(np.iinfo(dtype).max) for dtype in (one, other)]
    wide = ["uint64" if dtype == "uint64" else "int64" for dtype in (one, other)]
    typed = [a.astype(kind) for a, kind in zip((labels, names), wide, strict=True)]
    ends = [np.array(end, kind) for end, kind in zip(last_of, wide, strict=True)]
    return np.where(labels == last, ends[0], typed[0]), np.where(names == last, ends[1], typed[1])
