"""The worked examples of the spec, as they stand on its pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.checks.boundary import legal_choice
from lossproof.conformance.host.arrays import HALVES, Array, rounded
from lossproof.conformance.host.case import Answer, Case, inputs_of
from lossproof.conformance.host.ranks import MODE
from lossproof.conformance.judge.compare import farthest, stated, unanswered, wrong_shape
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
        if example.loss != probe.loss or example.raises or not offer.allows(example.parameters, example.inputs):
            continue
        if example.split and not offer.choices("mode", [f"{MODE}{len(example.split)}"]):
            continue
        if offer.even and len({*example.split}) > 1:
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
                result.findings.append(judge.finding(probe, mismatch, case))
                return
    if not asked:
        raise Unsupported("the examples use what is not offered")


def _judge(judge: Judge, example: Example, dtype: str, result: Result) -> tuple[Mismatch | None, Case]:
    offer = judge.offers[example.loss]
    inputs = inputs_of(example.loss, example.inputs)
    inputs = {n: rounded(a, dtype) if a.dtype.kind == "f" else a for n, a in inputs.items()}
    parameters = {name: value for name, value in example.parameters.items() if offer.has(name)}
    value = np.array(example.value, object)
    order = 1 if 1 in offer.orders and example.gradient else 0
    mode = f"{MODE}{len(example.split)}" if example.split else offer.modes[0]
    case = Case(example.loss, inputs, dtype, parameters, mode, order, np.ones(value.shape), split=example.split)
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
        mismatch = _compared(where, got, want, example.exact and judge.oracle.ours)
        if mismatch and not _in_budget(judge, case, answer, where):
            return mismatch if mismatch.budget == 0 else _with_budget(judge, case, mismatch, where), case
    if order and not bound and clauses()[example.clause].level == "CHOICE":
        result.choice = result.choice or legal_choice(judge, judge.with_fixed(case), answer)
    return None, case


def _compared(where: str, got: Array | None, want: Any, exact: bool) -> Mismatch | None:
    """Compare with the numbers on the page."""
    kind = "value" if where == "loss" else "gradient"
    numbers, left_open = stated(want)
    if got is None or got.shape != numbers.shape:
        found = f"no gradient came back for {where.split()[-1]}" if got is None else got.shape
        return Mismatch(kind, where, found, f"shape {numbers.shape}")
    room = np.zeros(()) if exact else SLACK * (1 + np.abs(np.where(np.isfinite(numbers), numbers, 0.0)))
    return farthest(kind, where, got, numbers, room, left_open)[0]


def _with_budget(judge: Judge, case: Case, mismatch: Mismatch, where: str) -> Mismatch:
    """Return the mismatch with how far from a number of the page an answer may be, where it may be farthest."""
    if judge.oracle.ours:
        return mismatch
    expected, name = judge.oracle.expected(judge.with_fixed(case)), where.split()[-1]
    grade = judge.grade_of(judge.with_fixed(case))
    known = expected.value_budget(grade) if where == "loss" else expected.gradient_budget(grade).get(name, 0.0)
    return replace(mismatch, budget=max(mismatch.budget, float(np.max(np.nan_to_num(known), initial=0.0))))


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
