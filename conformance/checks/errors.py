"""Bad input raises, and its legal sibling does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.compare import unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.error_options import UNHEARD
from lossproof.conformance.plan.cases.errors import Wrong, wrongs
from lossproof.conformance.plan.probe import OfErrors, Probe


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the legal call, then the same call with one thing wrong, for each way to be wrong."""
    legal = judge.losses[probe.loss].legal(judge.offers[probe.loss])
    asked = [(_sibling(legal, wrong), wrong) for wrong in questions(judge, probe)]
    for sibling in [case for n, (case, _) in enumerate(asked) if n == 0 or "mask" in case.inputs][:1]:
        result.planned += 1
        answer = judge.ask(sibling)
        if answer.problem:
            mismatch = unanswered(answer)
            assert mismatch is not None
            result.findings.append(Finding(probe.loss, "CV-23", "", probe.check, mismatch, sibling))
            return
    for sibling, wrong in asked:
        result.planned += 1
        case = wrong.applied(sibling)
        found = accepted(judge, case)
        if found:
            result.findings.append(judge.finding(probe, found, case))
            return


def questions(judge: Judge, probe: Probe) -> list[Wrong]:
    """Return the wrong calls of a probe that the implementation could make at all."""
    known = list(_given(probe)) or wrongs(probe.loss)[probe.clause, probe.label]
    offered = [wrong for wrong in known if _offered(judge, probe, wrong)]
    if not offered:
        raise Unsupported("the call uses what is not offered")
    return offered


def accepted(judge: Judge, case: Case) -> Mismatch | None:
    """Return the mismatch of a wrong call that is answered, or breaks the worker; None where it is refused."""
    answer = judge.ask(case)
    if answer.refused:
        return None
    if answer.problem:
        return Mismatch("failure", "the call", answer.problem, "an error", errored=True)
    assert answer.value is not None
    got = float(answer.value) if answer.value.ndim == 0 else answer.value.tolist()
    return Mismatch("accepted", "the call", got, "an error")


def _given(probe: Probe) -> Iterator[Wrong]:
    """Yield the wrong call of a probe of one loss alone."""
    inputs, parameters = probe.of(OfErrors).inputs, probe.of(OfErrors).parameters
    if inputs or parameters:
        changed = {name: (lambda _, value=value: np.array(value)) for name, value in inputs.items()}
        yield Wrong(probe.clause, probe.label, changed, parameters=parameters)


def _offered(judge: Judge, probe: Probe, wrong: Wrong) -> bool:
    """Whether the implementation has the arguments of a wrong call, reads its dtypes, and has its other options."""
    offer, hello = judge.offers[probe.loss], judge.session.hello
    read = {"bool", "int64", "int32", *hello.get("integers", ()), *hello["dtypes"]}
    names = [n for n in (*wrong.parameters, *wrong.inputs) if n in offer.page.parameters or n == "mask"]
    if not all(map(offer.has, names)) or not set(wrong.dtypes.values()) <= read:
        return False
    if wrong.clause in ("CV-27", "CV-28", "CV-37") or UNHEARD in wrong.parameters:
        return True
    return not any(value in offer.refused.get(name, ()) for name, value in wrong.parameters.items())


def _sibling(legal: Case, wrong: Wrong) -> Case:
    """Return the legal call, with a legal mask where the wrong call has a wrong one."""
    if "mask" not in wrong.inputs:
        return legal
    units = next(iter(legal.inputs.values())).shape[:-1]
    return replace(legal, inputs={**legal.inputs, "mask": np.ones(units, bool)})
