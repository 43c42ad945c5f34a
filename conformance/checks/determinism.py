"""The same call twice, with others in between: the same bits, and nothing changed on the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
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
    result.planned += len(cases)
    spread = any(case.split for case in cases)  # over processes, where a call costs more
    found = again(judge, cases, REPEATS // 4 if spread else REPEATS, apart)
    if found:
        result.findings.append(judge.finding(probe, *found))


def again(
    judge: Judge, cases: Sequence[Case], repeats: int, apart: Callable[[Answer, Answer], Mismatch | None]
) -> tuple[Mismatch, Case] | None:
    """Ask all cases, then all of them again, several times over; return what first differs, and where."""
    first = [judge.ask(case) for case in cases]
    for repeat in range(repeats):
        pairs = list(zip(cases, first, strict=True))
        for case, before in reversed(pairs) if repeat % 2 else pairs:  # no call has the same one before it twice
            mismatch = apart(before, judge.ask(case))
            if mismatch:
                return mismatch, case
    return None


def _at_ties(judge: Judge, probe: Probe) -> Iterator[Case]:
    """Yield the first boundary cases of each clause that are answered at all."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    order = 1 if 1 in offer.orders else 0
    for clause in loss.boundaries.clauses:
        for case in itertools.islice(loss.boundaries.cases(clause, offer, judge.seed), 1 if offer.costly else 2):
            audited = replace(case, audit=True, order=min(case.order, order))
            if not unanswered(answer := judge.ask(audited)) and not answer.unsupported:
                yield audited


def apart(before: Answer, after: Answer) -> Mismatch | None:
    """Return the mismatch of two answers to the same call, or of a call that changes something."""
    found, changed = unanswered(before) or unanswered(after), before.changed or after.changed
    if found:
        return found
    if changed:
        return Mismatch("changed", ", ".join(changed), "changed by the call", "unchanged")
    one, two = bits(before), bits(after)
    where = next((name for name in one if one[name] != two.get(name)), None)
    return None if where is None else Mismatch("value", where, "other bits the second time", "the same bits")
