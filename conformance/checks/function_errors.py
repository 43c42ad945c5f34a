"""Bad input of a function that is no loss raises; where a page leaves a choice, the row in question takes no part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lossproof.conformance.checks.errors import offered, refused
from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.functions import against, failure, obscured, offer_of
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.errors import wrongs
from lossproof.conformance.plan.cases.functions import legal, whole
from lossproof.conformance.plan.plan import plain_probe
from lossproof.conformance.plan.probe import OfRefusals, Probe
from lossproof.spec import functions

SIZES = {"...": 3, "B": 3, "C": 3, "Q": 3, "D": 2, "N": 4, "T": 3}  # a shape that is wrong is no other right one
ROW = 1


@dataclass(frozen=True)
class Wild:
    """Calls with a label or an index that is no row, and the legal call that they must be answered like."""

    sibling: Case
    cases: Sequence[Case]
    may_raise: bool  # an error is as right


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the call that is wrong; or, with an option, calls whose label or index is outside its range."""
    asked = probe.of(OfRefusals)
    offer = offer_of(judge, probe, compared=not asked.wrong)
    if obscured(judge, probe, result):
        return None
    plain = whole(legal(offer, probe, judge.seed, 0, sizes=SIZES))
    if "mask" in functions()[probe.loss]["inputs"] and offer.has("mask"):
        plain = replace(plain, inputs={**plain.inputs, "mask": np.arange(SIZES["B"]) != 0})
    if asked.wrong:
        given = offered(judge, probe.loss, wrongs(probe.loss)[probe.clause, probe.label])
        return refused(judge, probe, result, [wrong.applied(plain) for wrong in given])
    for wild in _indices(plain, asked.index) if asked.index else _labels(plain, offer):
        for case in (wild.sibling, *wild.cases):
            result.planned += 1
            mismatch = failure(judge, case) if case is wild.sibling else _wrong(judge, wild, case)
            if mismatch:
                blamed = replace(probe, clause=plain_probe(probe.loss).clause) if case is wild.sibling else probe
                result.findings.append(judge.finding(blamed, mismatch, case))
                return None
    return None


def _wrong(judge: Judge, wild: Wild, case: Case) -> Mismatch | None:
    """Return the mismatch of a call that is neither refused, where it may be, nor answered like its sibling."""
    answer = judge.ask(case)
    if wild.may_raise and answer.refused:
        return None
    wanted = judge.oracle.results(judge.with_fixed(wild.sibling))
    mismatch = against(case, answer, wanted, ours=judge.oracle.ours)
    if mismatch and wild.may_raise and not mismatch.errored:
        return replace(mismatch, want=f"an error, or {mismatch.want} as without that row")
    return mismatch


def _indices(plain: Case, name: str) -> Iterator[Wild]:
    """Yield calls with an index out of range."""
    size = SIZES["Q"]
    for index in (size, -1, 7 * size + 1):
        sibling, case = (replace(plain, inputs={**plain.inputs, name: np.array(i)}) for i in (index % size, index))
        yield Wild(sibling, [case], may_raise=True)


def _labels(plain: Case, offer: Offer) -> Iterator[Wild]:
    """Yield calls with one label out of range, of a row that takes part and, where a mask can say so, of another."""
    own = {n: offer.limits.get(n, [-5])[0] for n in offer.parameters if n == "unlabelled" and offer.has(n)}
    labels = np.arange(SIZES["B"]) % SIZES["C"]
    plain = replace(plain, inputs={**plain.inputs, "labels": labels}, parameters={**plain.parameters, **own})
    none = plain.parameters.get("unlabelled", offer.neutral("unlabelled"))
    part = plain.inputs.get("mask", np.ones(len(labels), bool))
    for row in (ROW, 0) if offer.has("mask") else (ROW,):
        others = np.arange(len(labels)) != row
        wild = [np.where(others, labels, number) for number in (SIZES["C"], -1, -7, 10**6) if number != none]
        cases = [replace(plain, inputs={**plain.inputs, "labels": array}) for array in wild]
        if "uint64" in offer.integers and part[row]:
            cases.append(_at_the_end(plain, offer, row))
        yield Wild(_without(plain, offer, others), cases, may_raise=bool(part[row]))


def _without(plain: Case, offer: Offer, others: Array) -> Case:
    """Return the call without a row: masked out, or left out where no mask can be given."""
    if offer.has("mask"):
        return replace(plain, inputs={**plain.inputs, "mask": plain.inputs["mask"] & others})
    aligned = [n for n, entry in functions()[plain.loss]["inputs"].items() if entry["shape"].split()[:1] == ["B"]]
    return replace(plain, inputs={n: a[others] if n in aligned else a for n, a in plain.inputs.items()})


def _at_the_end(plain: Case, offer: Offer, row: int) -> Case:
    """Return the call with the largest label that there is: it is not -1, the label of rows without an identity."""
    labels = plain.inputs["labels"].astype(np.uint64)
    labels[row] = np.iinfo(np.uint64).max
    own = {n: -1 for n in plain.parameters if n == "unlabelled" and offer.choices(n, [-1])}
    inputs, parameters = {**plain.inputs, "labels": labels}, {**plain.parameters, **own}
    return replace(plain, inputs=inputs, dtypes={"labels": "uint64"}, parameters=parameters)
