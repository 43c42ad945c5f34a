"""Functions that are no losses leave no trace: the same bits again, nothing changed, no gradient, rows left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.function_calls import FEW, legal, offered, plain_dtype, sound
from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.compare import unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.probe import OfPurity, Probe
from lossproof.spec import functions

CALLS = 4
ROUNDS = 6
MET = {"B": 9, "C": 2, "Q": 3}  # a batch that moves everything


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Run the probe: "constant" asks for derivatives, "unmet" for rows that nothing meets, the rest for purity."""
    offered(judge, probe)
    asked = probe.of(OfPurity)
    if (asked.constant or asked.unmet) and not sound(judge, probe):
        judge.obscured = result.planned = 1
        return
    if asked.constant:
        mismatch, case = _constant(judge, probe)
    elif asked.unmet:
        mismatch, case = _unmet(judge, probe, asked.unmet)
    else:
        mismatch, case = _pure(judge, probe)
    result.planned += CALLS
    if mismatch:
        result.findings.append(judge.finding(probe, mismatch, case))


def _pure(judge: Judge, probe: Probe) -> tuple[Mismatch | None, Case]:
    """Ask the same calls over and over, forwards and backwards: two calls of each shape."""
    sizes = [FEW[number % len(FEW)] for number in range(CALLS)]
    drawn = [legal(judge, probe, number, plain_dtype(judge), size)[0] for number, size in enumerate(sizes)]
    cases = [replace(case, audit=True) for case in drawn]
    first = [judge.ask(case) for case in cases]
    for turn in range(ROUNDS):
        for case, before in list(zip(cases, first, strict=True))[:: -1 if turn % 2 else 1]:
            after = judge.ask(case)
            if unanswered(before) and unanswered(after):
                continue  # a call that raises is one for other probes
            found = unanswered(before) or unanswered(after)
            if not found and (before.changed or after.changed):
                changed = ", ".join(before.changed or after.changed)
                found = Mismatch("changed", changed, "changed by the call", "unchanged")
            if not found and [_bits(a) for a in before.results] != [_bits(a) for a in after.results]:
                found = Mismatch("value", "the results", "other bits the second time", "the same bits")
            if found:
                return found, case
    return None, cases[0]


def _constant(judge: Judge, probe: Probe) -> tuple[Mismatch | None, Case]:
    """Ask for the derivative of everything that comes out with respect to everything that goes in."""
    for number in range(CALLS):
        case = replace(legal(judge, probe, number, plain_dtype(judge), MET)[0], order=1)
        answer = judge.ask(case)
        found = unanswered(answer)
        if not found and not answer.gradients:
            raise Unsupported("no derivatives")
        for name, gradient in answer.gradients.items():
            wrong = np.argwhere(gradient != 0)
            if len(wrong):
                place = tuple(map(int, wrong[0]))
                found = found or Mismatch("gradient", f"gradient of {name}{list(place)}", float(gradient[place]), 0.0)
        if found:
            return found, case
    return None, case


def _unmet(judge: Judge, probe: Probe, name: str) -> tuple[Mismatch | None, Case]:
    """Put -0 into the table: a row that no row of the batch is labelled with keeps its sign too."""
    entry = functions()[probe.loss]["returns"]
    for number in range(CALLS):
        case = legal(judge, probe, number, plain_dtype(judge), {"C": 4, "B": 3})[0]
        table = np.where(np.arange(case.inputs[name].shape[1]) % 2, case.inputs[name], -0.0)
        case = replace(case, inputs={**case.inputs, name: table})
        answer = judge.ask(case)
        found = unanswered(answer)
        if found:
            return found, case
        got = answer.results[list(entry).index(name)]
        for row in sorted(set(range(len(table))) - set(case.inputs["labels"].tolist())):
            if got.shape == table.shape and got[row].tobytes() != table[row].tobytes():
                return Mismatch("value", f"{name}[{row}]", got[row].tolist(), table[row].tolist()), case
    return None, case


def _bits(array: Array) -> tuple[tuple[int, ...], bytes]:
    return array.shape, array.tobytes()
