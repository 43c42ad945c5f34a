"""Exact kinks and ties on a lattice of dyadic numbers: the spec's choice for ours, any convention's for others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.compare import against, shares, unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.oracle import Expected
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.structures import ordinary
from lossproof.conformance.plan.probe import Probe
from lossproof.spec import clauses

MOST_OUTCOMES = 256
COINCIDENT = ("DI-15", "PW-4")  # what becomes of rows at no distance


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask every boundary case of the clause."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    if probe.clause in loss.boundaries.gradient and 1 not in offer.orders:
        raise Unsupported("no gradients")
    for case in _each_way(loss.boundaries.cases(probe.clause, offer, judge.seed), offer, probe.clause):
        result.planned += 1
        parts = ("value", "gradient") if case.order else ("value",)
        if judge.decided_by_rounding(case) or not judge.control(probe.loss, case.parameters, parts, case.dtype):
            judge.obscured += 1
            continue
        mismatch = judge_case(judge, probe, case, result, gradient=probe.clause in loss.boundaries.gradient)
        if mismatch and _rounded(judge, case):
            judge.obscured += 1  # its own rounding decides the case
        elif mismatch:
            result.findings.append(judge.finding(probe, mismatch, case))
            return


def _each_way(cases: Iterable[Case], offer: Offer, clause: str) -> Iterator[Case]:
    """Yield each case, again with distances that are exact in any implementation, and with its rows as a second set."""
    for number, case in enumerate(cases):
        yield case
        if "pairwise" in offer.page.parameters and offer.sets("pairwise", "direct") and not offer.costly:
            yield replace(case, parameters={**case.parameters, "pairwise": "direct"})
        if number % 4 == 0 or not offer.costly:
            yield from _beside_itself(case, offer, clause)


def _beside_itself(case: Case, offer: Offer, clause: str) -> Iterator[Case]:
    """Yield a case whose rows are the candidates as well: each anchor names its own, and at distance 0 none does, too.

    For other clauses a case is no longer undecided, or exact, where an anchor is its own positive.
    """
    if "candidates" not in offer.page.inputs or "mask" in case.inputs:
        return
    for kind, names in (("indexed", ("candidate_index",)), ("others", ())):
        if offer.choices("candidates", [kind]) and (names or clause in COINCIDENT):
            second = {name: ordinary(case, name) for name in ("candidates", "candidate_labels", *names)}
            yield replace(case, inputs={**case.inputs, **second})


def judge_case(judge: Judge, probe: Probe, case: Case, result: Result, *, gradient: bool) -> Mismatch | None:
    """Ask one boundary case; return what is wrong with its value, or with its gradient where that is asked for."""
    judged = judge.with_fixed(case)
    answer = judge.ask(case)
    found = unanswered(answer)
    if found or answer.unsupported:
        return found
    evaluation = judge.oracle.evaluate(judged)
    if judge.oracle.exact_only:
        judged = replace(judged, order=0)  # at a kink a numerical derivative means nothing
    expected = judge.oracle.expected(judged, evaluation)
    grade = judge.grade_of(judged)
    mismatch, _ = against(judged, answer, expected, ("value",), grade)
    if mismatch and grade != "direct" and not judge.oracle.ours:
        outcomes = _outcomes(judge, judged, evaluation)
        if any(not against(judged, answer, e, ("value",), grade)[0] for e in outcomes):
            result.choice = result.choice or _sentence(mismatch.where, mismatch.got, mismatch.want)
            mismatch = None
    if mismatch or judge.oracle.exact_only or not gradient:
        return mismatch
    if judge.oracle.ours:
        return _bit_for_bit(case, answer, expected)
    mismatch = _within_conventions(judge, judged, answer, evaluation)
    if mismatch is None and clauses()[probe.clause].level == "CHOICE":
        result.choice = result.choice or other_choice(answer, expected)
    return mismatch


def legal_choice(judge: Judge, judged: Case, answer: Answer) -> str:
    """Return what an answer chose at a kink where the spec chooses otherwise; nothing where no convention has that."""
    evaluation = judge.oracle.evaluate(judged)
    if _within_conventions(judge, judged, answer, evaluation):
        return ""  # the boundary cases of the clause speak of that
    return other_choice(answer, judge.oracle.expected(judged, evaluation))


def other_choice(answer: Answer, expected: Expected) -> str:
    """Return the first entry of a gradient that is not the one the spec chooses, in one sentence; or nothing."""
    for name, want in expected.gradients.items():
        got = answer.gradients.get(name, np.zeros(()))
        room = _slack(np.abs(want), expected.gradient_budget("direct")[name])
        other = np.abs(got - want) > room if got.shape == want.shape else np.zeros(())
        if other.any():
            place = tuple(map(int, np.argwhere(other)[0]))
            return _sentence(f"gradient of {name}{list(place)}", float(got[place]), float(want[place]))
    return ""


def _chooses_as(expected: Expected, answer: Answer) -> bool:
    """Whether every gradient is there, and is what is expected."""
    for name, want in expected.gradients.items():
        got, room = answer.gradients.get(name), _slack(np.abs(want), expected.gradient_budget("direct")[name])
        if got is None or got.shape != want.shape or not (np.abs(got - want) <= room).all():
            return False  # NaN, too
    return True


def _sentence(where: str, got: Any, want: Any) -> str:
    return f"{where} is {got:g}; the spec chooses {want:g}"


def _slack(size: Any, budget: Any) -> Any:
    """Return how far an entry may be from a convention's: not every number of a boundary case is exact."""
    return np.maximum(1e-6 * (1 + size), budget)


def _rounded(judge: Judge, case: Case) -> bool:
    """Whether other code is right on the terms of a case and yet not exact, so that the case is undecided there."""
    offer = judge.offers[case.loss]
    if judge.oracle.ours or "reduction" not in offer.page.parameters or not offer.choices("reduction", ["none"]):
        return False
    terms = {"reduction": "none"} if offer.has("reduction") else {}
    single = replace(case, parameters={**case.parameters, **terms}, order=0)
    judged = judge.with_fixed(single)
    answer, expected = judge.ask(single), judge.oracle.expected(judged)
    if answer.value is None or against(judged, answer, expected, ("value",), judge.grade_of(judged))[0]:
        return False
    return not np.array_equal(answer.value, np.asarray(expected.value, float), equal_nan=True)


def _bit_for_bit(case: Case, answer: Answer, expected: Expected) -> Mismatch | None:
    """Compare numbers of few bits bit for bit, the others within budget; a zero counts as what it stands among."""
    for name, want in expected.gradients.items():
        got = answer.gradients.get(name, np.zeros(()))
        if got.shape != want.shape:
            return Mismatch("failure", f"gradient of {name}", got.shape, want.shape, errored=True)
        few = rounded(want, "bfloat16" if case.dtype == "bfloat16" else "float16") == want
        held = few & ((want != 0) | few.all())  # beside rounded numbers a zero may be what is left of a sum
        budget = np.where(held, 0.0, expected.gradient_budget("direct")[name])
        wrong = np.where(held, got != want, shares(got, want, budget, case.dtype) > 1)
        if wrong.any():
            place = tuple(map(int, np.argwhere(wrong)[0]))
            return Mismatch(
                "gradient",
                f"gradient of {name}{list(place)}",
                float(got[place]),
                float(want[place]),
                float(budget[place]),
                np.inf,
            )
    return None


def _not_a_number(expected: Expected, answer: Answer) -> Mismatch | None:
    """Return where a gradient is NaN and the spec's is none: however many conventions there are, NaN is in none."""
    for name, want in expected.gradients.items():
        got = answer.gradients.get(name, np.zeros(()))
        wrong = np.isnan(got) & ~np.isnan(want) if got.shape == want.shape else np.zeros(())
        if wrong.any():
            place = tuple(map(int, np.argwhere(wrong)[0]))
            return Mismatch(
                "gradient", f"gradient of {name}{list(place)}", float(got[place]), float(want[place]), 0.0, np.inf
            )
    return None


def _outcomes(judge: Judge, case: Case, evaluation: Any) -> Iterator[Expected]:
    """Yield what is expected for each outcome of the undecided decisions; nothing where there are too many."""
    undecided = judge.oracle.undecided(case, evaluation)
    outcomes = [[(place, outcome) for outcome in choices] for place, choices in undecided]
    if outcomes and np.prod([len(o) for o in outcomes], dtype=float) > MOST_OUTCOMES:
        return
    for chosen in itertools.product(*outcomes):
        overrides = {place: outcome for place, outcome in chosen if outcome is not None}  # None: as the spec has it
        yield judge.oracle.expected(case, judge.oracle.evaluate(case, overrides))


def _within_conventions(judge: Judge, case: Case, answer: Answer, evaluation: Any) -> Mismatch | None:
    """Hold each gradient entry between the least and the greatest over the outcomes of the undecided decisions."""
    spec = judge.oracle.expected(case, evaluation)
    if _chooses_as(spec, answer):  # whose outcome is one of them
        return None
    low = {name: np.array(g, float) for name, g in spec.gradients.items()}
    high = {name: np.array(g, float) for name, g in spec.gradients.items()}
    others = list(_outcomes(judge, case, evaluation))
    if not others:
        return _not_a_number(spec, answer)
    for other in others:
        for name, gradient in other.gradients.items():
            low[name], high[name] = np.minimum(low[name], gradient), np.maximum(high[name], gradient)
    for name in low:
        got = answer.gradients.get(name, np.zeros(()))
        if got.shape != low[name].shape:
            return Mismatch("failure", f"gradient of {name}", got.shape, low[name].shape, errored=True)
        slack = _slack(np.maximum(np.abs(low[name]), np.abs(high[name])), spec.gradient_budget("direct")[name])
        inside = (got >= low[name] - slack) & (got <= high[name] + slack)
        if not inside.all():
            place = tuple(map(int, np.argwhere(~inside)[0]))
            least, most = low[name][place], high[name][place]
            want = f"{least:g}" if least == most else f"between {least:g} and {most:g}"
            return Mismatch(
                "gradient",
                f"gradient of {name}{list(place)}",
                float(got[place]),
                want,
                float(slack[place]),
                np.inf,
            )
    return None
