"""The same call twice, with others in between: the same bits, and nothing changed on the way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.compare import bits, unanswered
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.probe import OfDeterminism, Probe

REPEATS = 8


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Collect cases, or boundary cases, ask them all, then ask them all again, several times over."""
    cases: list[Case] = []

    def collect(structure: dict[str, Any]) -> None:
        for fill in range(1 if cases else 2):  # two of one shape: a buffer for each shape is a buffer too
            case = judge.case(probe, structure, fill)
            if case is not None:
                cases.append(replace(case, audit=True))

    if probe.of(OfDeterminism).ties:
        cases += _at_ties(judge, probe)
    else:
        judge.structures(probe, result, collect)
    first: list[Answer] = [judge.ask(case) for case in cases]
    result.planned += len(cases)
    for repeat in range(REPEATS):
        pairs = list(zip(cases, first, strict=True))
        for case, before in reversed(pairs) if repeat % 2 else pairs:  # no call has the same one before it twice
            mismatch = _compare(before, judge.ask(case))
            if mismatch:
                result.findings.append(judge.finding(probe, mismatch, case))
                return


def _at_ties(judge: Judge, probe: Probe) -> Iterator[Case]:
    """Yield the first boundary cases of each clause that are answered at all."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    order = 1 if 1 in offer.orders else 0
    for clause in loss.boundaries.clauses:
        for case in itertools.islice(loss.boundaries.cases(clause, offer, judge.seed), 1 if offer.costly else 2):
            audited = replace(case, audit=True, order=min(case.order, order))
            if not unanswered(answer := judge.ask(audited)) and not answer.unsupported:
                yield audited


def _compare(before: Answer, after: Answer) -> Mismatch | None:
    if unanswered(before) or unanswered(after):
        return unanswered(before) or unanswered(after)
    if after.changed:
        return Mismatch("changed", ", ".join(after.changed), "changed by the call", "unchanged")
    one, two = bits(before), bits(after)
    for name in one:
        if one[name] != two.get(name):
            what = "loss" if name == "value" else f"gradient of {name}"
            return Mismatch("value", what, "other bits the second time", "the same bits")
    return None
