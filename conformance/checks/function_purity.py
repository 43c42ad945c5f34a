"""Functions that are no losses leave no trace: the same bits again, nothing changed, no gradient, rows left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.determinism import again, apart
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.compare import farthest, unanswered
from lossproof.conformance.judge.functions import obscured, offer_of
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.functions import FEW, legal
from lossproof.conformance.plan.probe import OfPurity, Probe
from lossproof.spec import functions

CALLS = 4
REPEATS = 6
MET = {"B": 9, "C": 2, "Q": 3}  # a batch that moves everything


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Run the probe: "constant" asks for derivatives, "unmet" for rows that nothing meets, the rest for purity."""
    offer = offer_of(judge, probe, compared=False)
    asked = probe.of(OfPurity)
    if (asked.constant or asked.unmet) and obscured(judge, probe, result):
        return
    if asked.constant:
        found = _constant(judge, probe, offer)
    elif asked.unmet:
        found = _unmet(judge, probe, offer, asked.unmet)
    else:  # two calls of each shape
        cases = [legal(offer, probe, judge.seed, number, sizes=FEW[number % len(FEW)]) for number in range(CALLS)]
        found = again(judge, [replace(case, audit=True) for case in cases], REPEATS, _apart)
    result.planned += CALLS
    if found:
        result.findings.append(judge.finding(probe, *found))


def _apart(before: Answer, after: Answer) -> Mismatch | None:
    """Return how two answers differ; a call that raises is one for other probes."""
    return None if before.problem and after.problem else apart(before, after)


def _constant(judge: Judge, probe: Probe, offer: Offer) -> tuple[Mismatch, Case] | None:
    """Ask for the derivative of everything that comes out with respect to everything that goes in."""
    for number in range(CALLS):
        case = replace(legal(offer, probe, judge.seed, number, sizes=MET), order=1)
        answer = judge.ask(case)
        found = unanswered(answer)
        outside = answer.error is not None and judge.ask(replace(case, order=0)).problem is None
        if outside or (not found and not answer.gradients):  # what is computed outside of the framework has none
            raise Unsupported("no derivatives")
        for name, gradient in answer.gradients.items():
            nothing = np.zeros(gradient.shape)
            found = found or farthest("gradient", f"gradient of {name}", gradient, nothing, np.zeros(()))[0]
        if found:
            return found, case
    return None


def _unmet(judge: Judge, probe: Probe, offer: Offer, name: str) -> tuple[Mismatch, Case] | None:
    """Put -0 into the table: a row that no row of the batch is labelled with keeps its sign too."""
    entry = functions()[probe.loss]["returns"]
    for number in range(CALLS):
        case = legal(offer, probe, judge.seed, number, sizes={"C": 4, "B": 3})
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
    return None
