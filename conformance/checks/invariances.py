"""What one call implies about another: permuted rows, other names or dtypes of labels, other rows, and swap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.compare import farthest, unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.oracle import Expected, output_slack
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OfInvariances, Probe
from lossproof.spec import losses


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask pairs of related calls; the relation holds within the budgets of both."""
    relation = probe.of(OfInvariances).relation
    if relation == "swap" and not judge.offers[probe.loss].sets("swap", True):
        raise Unsupported("swap = True")
    relate = {
        "permutation": _permuted,
        "relabelling": _relabelled,
        "integers": _retyped,
        "ends": _at_ends,
        "other rows": _replaced,
        "swap": _swapped,
    }[relation]

    def examine(structure: dict[str, Any]) -> Finding | None:
        case = judge.case(probe, structure, 0)
        if case is None:
            return None
        result.planned += 1
        found = relate(judge, case, structure)
        return judge.finding(probe, *found) if found else None

    judge.structures(probe, result, examine)


Shown = tuple[Mismatch, Case]  # what is wrong, and the call that shows it


class Both(NamedTuple):
    """The answers to two calls, and what is expected of the first."""

    first: Answer
    second: Answer
    expected: Expected


def _both(judge: Judge, structure: Structure, first: Case, second: Case) -> Both | Shown | None:
    answers = judge.ask(first), judge.ask(second)
    for answer, case in zip(answers, (first, second), strict=True):
        if found := unanswered(answer):
            return found, case
    if answers[0].unsupported or answers[1].unsupported:
        return None
    expected = judge.oracle.expected(replace(judge.judged(first, structure), order=min(first.order, 1)))
    shapes = {answer.value.shape for answer in answers if answer.value is not None}
    return Both(*answers, expected) if shapes == {expected.value.shape} else None


def _room(judge: Judge, case: Case, expected: Expected, answer: Answer) -> Any:
    return 2 * (
        np.asarray(expected.value_budget(judge.grade_of(case)), float)
        + np.asarray(output_slack(expected.value, answer.value_dtype), float)
    )


def _unlike(judge: Judge, case: Case, both: Both, labels: str) -> Mismatch | None:
    """Return how two answers differ that must be alike, since labels alone have other names or another dtype."""
    first, second, expected = both
    assert first.value is not None
    assert second.value is not None
    room = _room(judge, case, expected, first)
    if np.any(~(np.abs(second.value - first.value) <= room)):
        got, want = second.value.tolist(), first.value.tolist()
        return Mismatch("value", f"loss with {labels}", got, want, float(np.max(room)))
    budgets = expected.gradient_budget(judge.grade_of(case))
    for name in (n for n in first.gradients if n in second.gradients and n in budgets):  # in the order of the page
        slack = 2 * (budgets[name] + output_slack(expected.gradients[name], case.dtype))
        got, want = second.gradients[name], first.gradients[name]
        found = farthest("gradient", f"gradient of {name} with {labels}", got, want, slack)[0]
        if found:
            return found
    return None


def _permuted(judge: Judge, case: Case, structure: Structure) -> Shown | None:
    """Permute the rows of every input: the terms are permuted with them, and a reduced loss stays."""
    rows = next(iter(case.inputs.values())).shape[0]
    order = generator(judge.seed, "permutation", structure).permutation(rows)
    aligned = losses()[case.loss].aligned
    other = replace(case, inputs={name: a[order] if name in aligned else a for name, a in case.inputs.items()})
    answers = _both(judge, structure, case, other)
    if not isinstance(answers, Both):
        return answers
    first, second, expected = answers
    assert first.value is not None
    assert second.value is not None
    room = np.broadcast_to(_room(judge, case, expected, first), first.value.shape)
    pairs = structure.get("reduction") == "none" and losses()[case.loss].front["unit"] == "pair"  # terms (B, B)

    def moved(a: Any) -> Any:
        return a[np.ix_(order, order)] if pairs else a[order] if a.ndim else a

    want = moved(first.value)
    wrong = ~(np.abs(second.value - want) <= moved(room))
    if np.any(wrong):
        got = second.value.tolist()
        return Mismatch("value", "loss of the permuted rows", got, want.tolist(), float(np.max(room)), np.inf), other
    return None


def _relabelled(judge: Judge, case: Case, structure: Structure) -> Shown | None:
    """Rename the labels one to one, to integers that floats or int32 cannot tell apart, or of either sign."""
    known = _labels(case)
    widest = (2**64 - 1) // max(len(known) - 1, 1)  # from one end of the range to the other
    ends = ((-(2**63), widest), (2**63 - len(known), 1))
    for start, step in ((2**24, 1), (-1, 2), (-100, 355), (0, 2**16), (5, 2**32), (2**53, 1), *ends):
        names = {label: start + i * step for i, label in enumerate(known)}
        labels = {
            name: np.array([names[label] for label in case.inputs[name]], np.int64).reshape(-1) for name in _named(case)
        }
        other = replace(case, inputs={**case.inputs, **labels})
        answers = _both(judge, structure, case, other)
        if not isinstance(answers, Both):
            return answers
        if found := _unlike(judge, case, answers, "other names for the labels"):
            return found, other
    return None


def _retyped(judge: Judge, case: Case, structure: Structure) -> Shown | None:
    """Give the labels in every integer dtype, or one; one of less than 32 bits may be refused."""
    known, highest = judge.session.hello.get("integers", ["int64"]), structure.get("highest")
    if highest:
        known, labels = [dtype for dtype in known if dtype == highest], case.inputs["labels"]
        labels = np.where(labels == labels.max(initial=0), np.iinfo(highest).max, labels)
        case = replace(case, inputs={**case.inputs, "labels": labels})
    for dtype in known[-1:] if judge.offers[case.loss].costly else known:
        other = replace(case, dtypes={"labels": dtype})
        if dtype not in ("int32", "int64") and judge.ask(other).refused:
            continue
        answers = _both(judge, structure, case, other)
        if not isinstance(answers, Both):
            return answers
        if found := _unlike(judge, case, answers, f"labels in {dtype}"):
            return found, other
    return None


def _at_ends(judge: Judge, case: Case, structure: Structure) -> Shown | None:
    """Name the labels by numbers at both ends of each integer dtype; one but int32 and int64 may be refused."""
    found, known = _labels(case), list(judge.session.hello.get("integers", ["int64"]))
    turn = int(structure["variant"]) % len(known)
    for dtype in [known[turn], known[-1]] if judge.offers[case.loss].costly else known:
        for names in _ends(dtype):
            if len(found) > len(names):
                continue
            wide = dtype if dtype == "uint64" else np.int64  # which does not hold all of them
            labels = {
                name: np.array([names[int(i)] for i in np.searchsorted(found, case.inputs[name])], dtype).astype(wide)
                for name in _named(case)
            }
            other = replace(case, inputs={**case.inputs, **labels}, dtypes=dict.fromkeys(labels, dtype))
            if dtype not in ("int32", "int64") and judge.ask(other).refused:
                break
            answers = _both(judge, structure, case, other)
            if not isinstance(answers, Both):
                if answers:
                    return answers
                continue
            if wrong := _unlike(judge, case, answers, f"labels at the ends of {dtype}"):
                return wrong, other
    return None


def _named(case: Case) -> list[str]:
    """Return the arrays of labels of a call."""
    return [name for name in ("labels", "candidate_labels") if name in case.inputs]


def _labels(case: Case) -> Array:
    """Return the labels of a call, each once."""
    return np.unique(np.concatenate([case.inputs[name] for name in _named(case)]))


def _ends(dtype: str) -> list[list[int]]:
    """Return numbers of a dtype that one of fewer bits, or a float, does not tell apart."""
    low, high, half = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), 2 ** (4 * np.dtype(dtype).itemsize)
    middle = [low + i for i in range(2, 30)]
    named = ([low, high], [high, high - 1, low], [low, low + half, high, high - half])
    return [list(dict.fromkeys([*first, *middle])) for first in named]


def _replaced(judge: Judge, case: Case, structure: Structure) -> Shown | None:
    """Move every row but one: the term of that one stays."""
    rng = generator(judge.seed, "other rows", structure)
    kept = int(rng.integers(next(iter(case.inputs.values())).shape[0]))
    inputs = dict(case.inputs)
    for name in losses()[case.loss].rows:
        inputs[name] = np.roll(case.inputs[name], 1, axis=0) * 0.5
        inputs[name][kept] = case.inputs[name][kept]
    other = replace(case, inputs=inputs)
    answers = _both(judge, structure, case, other)
    if not isinstance(answers, Both):
        return answers
    first, second, expected = answers
    if first.value is None or second.value is None or not first.value.ndim:
        return None  # a reduced loss has no term to look at
    room = np.broadcast_to(_room(judge, case, expected, first), first.value.shape)
    got, want, limit = (float(a[kept]) for a in (second.value, first.value, room))
    if not abs(got - want) <= limit:
        return Mismatch("value", f"term {kept} with other rows around it", got, want, limit), other
    return None


def _swapped(judge: Judge, case: Case, structure: Structure) -> Shown | None:
    """Ask without and with swap: swap never makes the loss smaller."""
    other = replace(case, parameters={**case.parameters, "swap": True})
    answers = _both(judge, structure, case, other)
    if not isinstance(answers, Both):
        return answers
    plain, swapped, expected = answers
    assert plain.value is not None
    assert swapped.value is not None
    room = _room(judge, case, expected, plain)
    if np.any(swapped.value < plain.value - room):
        got, want = swapped.value.tolist(), f"at least {plain.value.tolist()}"
        return Mismatch("value", "loss with swap", got, want, float(np.max(room)), np.inf), other
    return None
