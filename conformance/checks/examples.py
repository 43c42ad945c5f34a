"""The worked examples of the spec, as they stand on its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.checks.boundary import legal_choice
from lossproof.conformance.host.arrays import HALVES, rounded
from lossproof.conformance.host.case import Answer, Case, inputs_of
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.compare import unanswered, wrong_shape
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.probe import OfExamples, Probe
from lossproof.spec import Example, clauses

SLACK = 2.0**-20  # of 1 and a number of an inexact example, in float32, or the budget; other checks are sharper


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Call each example of the clause, in float64 and in float32, or where it is about half formats in these."""
    offer = judge.offers[probe.loss]
    asked = False
    dtypes = offer.choices("dtype", HALVES) if probe.of(OfExamples).halves else offer.exact_dtypes
    for example in clauses()[probe.clause].examples:
        if (
            example.loss != probe.loss
            or example.raises
            or not offered(offer, example.parameters, masked="mask" in example.inputs)
        ):
            continue
        for dtype in dtypes:
            asked = True
            result.planned += 1
            mismatch, case = _judge(judge, example, dtype, result)
            parts = ("value", "gradient") if case.order else ("value",)
            if mismatch and (
                judge.decided_by_rounding(case) or not judge.control(probe.loss, example.parameters, parts)
            ):
                judge.obscured += 1
            elif mismatch:
                mismatch = _entry(mismatch, example.exact and judge.oracle.ours)
                result.findings.append(judge.finding(probe, mismatch, case))
                return
    if not asked:
        raise Unsupported("the examples use what is not offered")


def offered(offer: Offer, given: Mapping[str, Any], *, masked: bool) -> bool:
    """Whether an implementation has the options of a call, and the defaults of those that are not given."""
    distance = given.get("distance", "p_norm")
    for name, entry in offer.page.parameters.items():
        applies = distance == entry.get("applies_to", distance)
        applies = applies and not (name == "eps_at" and given.get("eps") == 0)
        if applies and not offer.choices(name, [given.get(name, entry.get("default"))]):
            return False
    return not masked or offer.has("mask")


def _judge(judge: Judge, example: Example, dtype: str, result: Result) -> tuple[Mismatch | None, Case]:
    offer = judge.offers[example.loss]
    inputs = inputs_of(example.loss, example.inputs)
    inputs = {n: rounded(a, dtype) if a.dtype.kind == "f" else a for n, a in inputs.items()}
    parameters = {name: value for name, value in example.parameters.items() if offer.has(name)}
    value = np.array(example.value, object)
    order = 1 if 1 in offer.orders and example.gradient else 0
    case = Case(example.loss, inputs, dtype, parameters, offer.modes[0], order, np.ones(value.shape))
    answer = judge.ask(case)
    found = unanswered(answer)
    if found or answer.unsupported:
        return found, case
    assert answer.value is not None
    if answer.value.shape != value.shape:
        return wrong_shape(answer.value, value), case
    pairs: dict[str, tuple[Any, Any]] = {"loss": (answer.value, example.value)}
    bound = order and _first_convention(judge, example)
    if bound:
        named = {n for n, entry in offer.page.inputs.items() if entry.get("differentiable")} | set(answer.gradients)
        pairs |= {f"gradient of {n}": (answer.gradients.get(n), w) for n, w in example.gradient.items() if n in named}
    for where, (got, want) in pairs.items():
        if not _matches(got, want, example.exact and judge.oracle.ours) and not _in_budget(judge, case, answer, where):
            kind = "value" if where == "loss" else "gradient"
            budget = 0.0 if example.exact and judge.oracle.ours else _budget(judge, case, where, want)
            return Mismatch(kind, where, np.asarray(got).tolist(), want, budget), case
    if order and not bound and clauses()[example.clause].level == "CHOICE":
        result.choice = result.choice or legal_choice(judge, judge.with_fixed(case), answer)
    return None, case


def _budget(judge: Judge, case: Case, where: str, want: Any) -> float:
    """Return how far from the numbers of an example an answer may be, where it may be farthest."""
    room = SLACK * (1 + max((abs(number) for number in _numbers(want) if np.isfinite(number)), default=0.0))
    if judge.oracle.ours:
        return room
    expected, name = judge.oracle.expected(judge.with_fixed(case)), where.split()[-1]
    grade = judge.grade_of(judge.with_fixed(case))
    known = expected.value_budget(grade) if where == "loss" else expected.gradient_budget(grade).get(name, 0.0)
    return max(room, float(np.max(np.nan_to_num(known), initial=0.0)))


def _in_budget(judge: Judge, case: Case, answer: Answer, where: str) -> bool:
    """Whether an answer that is not the number on the page is as near to it as any order of summation need be."""
    if judge.oracle.ours:
        return False
    whole = judge.with_fixed(case)
    expected = judge.oracle.expected(whole)
    if where != "loss" and where.split()[-1] not in expected.gradients:
        return False
    return judge.compare(whole, answer, expected, ("value" if where == "loss" else "gradient",)) is None


def _first_convention(judge: Judge, example: Example) -> bool:
    """Whether the example's gradient binds: at a kink, foreign code is judged by the boundary check alone."""
    return judge.oracle.ours or not _at_a_kink(judge, example)


def _at_a_kink(judge: Judge, example: Example) -> bool:
    inputs = inputs_of(example.loss, example.inputs)
    case = Case(example.loss, inputs, "float32", example.parameters)
    return bool(judge.oracle.undecided(case))


def _matches(got: Any, want: Any, exact: bool) -> bool:
    """Compare entry by entry; "unspecified" matches anything."""
    if want == "unspecified":
        return True
    if isinstance(want, list):
        return (
            np.ndim(got) > 0
            and len(got) == len(want)
            and all(_matches(g, w, exact) for g, w in zip(got, want, strict=True))
        )
    if np.ndim(got) != 0:
        return False
    if np.isnan(want):
        return bool(np.isnan(got))
    return bool(got == want) or (not exact and bool(abs(got - want) <= SLACK * (1 + abs(want))))


def _entry(mismatch: Mismatch, exact: bool) -> Mismatch:
    """Return the mismatch of the first number that is wrong, with the tolerance that it was held to."""
    if mismatch.errored:
        return mismatch
    if np.shape(mismatch.got) != _shape(mismatch.want):
        absent = f"no gradient came back for {mismatch.where.split()[-1]}"
        got = absent if mismatch.got is None else np.shape(mismatch.got)
        return replace(mismatch, got=got, want=f"shape {_shape(mismatch.want)}")
    place, got, want = _first_wrong(mismatch.got, mismatch.want, exact)
    budget = mismatch.budget if np.isfinite(want) else 0.0
    return replace(mismatch, where=mismatch.where + (str(place) if place else ""), got=got, want=want, budget=budget)


def _numbers(want: Any) -> list[float]:
    """Return the numbers of an example one after another, without what is unspecified."""
    if isinstance(want, list):
        return [number for entry in want for number in _numbers(entry)]
    return [] if want == "unspecified" else [want]


def _shape(want: Any) -> tuple[int, ...]:
    """Return the shape of the numbers of an example, of which whole rows may be unspecified."""
    if not isinstance(want, list):
        return ()
    return (len(want), *max((_shape(entry) for entry in want), key=len, default=()))


def _first_wrong(got: Any, want: Any, exact: bool) -> tuple[list[int], Any, Any]:
    """Return the place of the first number that does not match, and the two numbers there."""
    if not isinstance(want, list):
        return [], got, want
    first = next(i for i, pair in enumerate(zip(got, want, strict=True)) if not _matches(*pair, exact))
    place, *numbers = _first_wrong(got[first], want[first], exact)
    return [first, *place], numbers[0], numbers[1]
