"""Bad input raises, and its legal sibling does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.own_term import NAN_OR_ERROR
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import OPTIONAL
from lossproof.conformance.host.options import inputs_of
from lossproof.conformance.judge.compare import accepted, unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Result
from lossproof.conformance.plan.cases.error_options import UNHEARD
from lossproof.conformance.plan.cases.errors import wrongs
from lossproof.conformance.plan.cases.structures import ordinary
from lossproof.conformance.plan.cases.wrong import Wrong
from lossproof.conformance.plan.probe import OfErrors, Probe


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the legal call, then the same call with one thing wrong, for each way to be wrong."""
    legal = judge.losses[probe.loss].legal(judge.offers[probe.loss])
    known = list(_given(probe)) or wrongs(probe.loss)[probe.clause, probe.label]
    asked = [(_sibling(legal, wrong), wrong) for wrong in offered(judge, probe.loss, known)]
    for sibling in [case for n, (case, _) in enumerate(asked) if n == 0 or _optional(probe.loss, case.inputs)][:1]:
        result.planned += 1
        answer = judge.ask(sibling)
        if answer.problem:
            mismatch = unanswered(answer)
            assert mismatch is not None
            result.findings.append(Finding(probe.loss, "CV-23", "", probe.check, mismatch, sibling))
            return
    or_nan = probe.of(OfErrors).or_nan
    refused(judge, probe, result, [wrong.applied(sibling) for sibling, wrong in asked], or_nan=or_nan)


def refused(judge: Judge, probe: Probe, result: Result, cases: Sequence[Case], *, or_nan: bool = False) -> None:
    """Ask calls that are wrong; the first that is not refused is a finding."""
    for case in cases:
        result.planned += 1
        answer = judge.ask(case)
        found = accepted(answer)
        if found and or_nan and answer.value is not None:
            found = None if np.isnan(answer.value).any() else replace(found, want=NAN_OR_ERROR)
        if found:
            result.findings.append(judge.finding(probe, found, case))
            return


def offered(judge: Judge, name: str, known: Sequence[Wrong]) -> list[Wrong]:
    """Return the wrong calls of a loss, or of another function, that the implementation could make at all."""
    found = [wrong for wrong in known if _offered(judge, name, wrong)]
    if not found:
        raise Unsupported("the call uses what is not offered")
    return found


def _given(probe: Probe) -> Iterator[Wrong]:
    """Yield the wrong call of a probe of one loss alone."""
    inputs, parameters = probe.of(OfErrors).inputs, probe.of(OfErrors).parameters
    if inputs or parameters:
        changed = {name: (lambda _, value=value: np.array(value)) for name, value in inputs.items()}
        yield Wrong(probe.clause, probe.label, changed, parameters=parameters)


def _offered(judge: Judge, name: str, wrong: Wrong) -> bool:
    """Whether the implementation has the arguments of a wrong call, reads its dtypes, and has its other options."""
    offer = judge.offers[name]
    read = {"bool", "int64", "int32", *offer.integers, *judge.session.hello["dtypes"]}
    options = [name for name in wrong.parameters if name in offer.parameters]
    needed = _optional(name, (*wrong.inputs, *wrong.beside))
    taken = all(map(offer.has, [*options, *needed]))
    taken = taken and all(offer.choices(field, [*OPTIONAL[field]][:1]) for field in OPTIONAL if field in needed)
    if not taken or not set(wrong.dtypes.values()) <= read or _is_whole(judge, wrong):
        return False
    if wrong.clause in ("CV-27", "CV-28", "CV-37") or UNHEARD in wrong.parameters:
        return True
    return not any(value in offer.refused.get(option, ()) for option, value in wrong.parameters.items())


def _is_whole(judge: Judge, wrong: Wrong) -> bool:
    """Whether a program on the protocol is asked about 2.0, which is 2 in a line of JSON: CV-37."""
    whole = [value for value in wrong.parameters.values() if isinstance(value, float) and value.is_integer()]
    return wrong.clause == "CV-37" and bool(whole) and "origin" not in judge.session.hello


def _sibling(legal: Case, wrong: Wrong) -> Case:
    """Return the legal call, with those optional inputs that the wrong call has, or has wrong."""
    needed = _optional(legal.loss, (*wrong.inputs, *wrong.beside))
    return replace(legal, inputs={**legal.inputs, **{name: ordinary(legal, name) for name in needed}})


def _optional(name: str, given: Iterable[str]) -> list[str]:
    """Return those of some inputs that a legal call of a loss, or of another function, may go without."""
    return sorted({n for n, entry in inputs_of(name).items() if entry.get("optional")} & set(given))
