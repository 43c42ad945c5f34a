"""Options that a function has no parameter for, and about which nobody said anything: the page's default was assumed.

A finding may be no fault of the function, but of this: a distance without `eps` is not the page's distance with its
default `eps`. So a finding names what was assumed, and where another value gives what came back, the line that says so.
Nor did anybody say that a function is meant for half formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import HALVES, Array
from lossproof.conformance.host.case import Case, from_json, to_json
from lossproof.conformance.host.hello import GRADES
from lossproof.conformance.host.options import expectation, parameters_of
from lossproof.conformance.host.words import shown
from lossproof.conformance.judge.oracle import Oracle, output_slack
from lossproof.conformance.judge.results import Finding, Mismatch
from lossproof.spec import losses


def assumption(finding: Finding, hello: Mapping[str, Any], others: Sequence[Finding] = ()) -> dict[str, Any]:
    """Return `assumed`, the defaults that stood for what nobody said, and `declare` where other values explain it.

    A small case may be explained by several values. Those are named that explain the most `others`, the findings of the
    same loss.
    """
    entry = hello.get("losses", {}).get(finding.loss, {})
    if _is_about_halves(finding) and "dtype" not in entry.get("limits", {}):
        return {"assumed": {"dtype": finding.case.dtype}, "declare": _without_halves(finding, hello)}
    if finding.loss not in losses() or entry.get("accepts") is None or not _of_numbers(finding.mismatch):
        return {}
    fixed = {name: from_json(value) for name, value in entry.get("fixed", {}).items()}
    case = replace(finding.case, parameters={**fixed, **finding.case.parameters})
    silent = _silent(case, [*entry["accepts"], *fixed])
    if not silent:
        return {}
    option = "--fixed {}={}" if finding.loss in hello.get("origin", {}) else '"fixed": {{"{}": {}}} in hello'
    found = _best(_explanations(case, finding.mismatch, silent), others, fixed)
    if found:
        said = ", or with ".join(" and ".join(f"{n} = {shown(v)}" for n, v in one.items()) for one in found)
        lines = ", or ".join(" ".join(option.format(n, shown(v)) for n, v in one.items()) for one in found)
        words = f"the answer is right with {said}: if the function works so, declare {lines}"
        return {"assumed": {name: to_json(silent[name]) for one in found for name in one}, "declare": words}
    return {"assumed": {name: to_json(value) for name, value in silent.items()}}


def _is_about_halves(finding: Finding) -> bool:
    """Whether a finding goes away in float32: its smallest case would have another dtype."""
    return finding.case.dtype in HALVES and finding.mismatch.kind in ("value", "gradient", "dtype")


def _without_halves(finding: Finding, hello: Mapping[str, Any]) -> str:
    wide = sorted(dtype for dtype in hello.get("dtypes", ()) if dtype not in HALVES)
    by_hand = f'"dtypes": {json.dumps(wide)} in hello'
    how = f"--limit dtype={','.join(wide)}" if finding.loss in hello.get("origin", {}) else by_hand
    return f"half formats alone are wrong here: if the function is not meant for them, declare {how}"


def _best(
    found: Sequence[dict[str, Any]], others: Sequence[Finding], fixed: Mapping[str, Any]
) -> Sequence[dict[str, Any]]:
    """Return the explanations that explain the most of the other findings."""
    if len(found) < 2:
        return found
    numbers = [f for f in others if f.mismatch.kind in ("value", "gradient") and f.case.dtype in ("float64", "float32")]
    cases = [(replace(f.case, parameters={**fixed, **f.case.parameters}), f.mismatch) for f in numbers]
    marks = [sum(_explains(case, mismatch, one) for case, mismatch in cases) for one in found]
    best = [one for one, mark in zip(found, marks, strict=True) if mark == max(marks)]
    return [one for one in best if one.keys() == best[0].keys()]  # other values of the option that comes first


def _of_numbers(mismatch: Mismatch) -> bool:
    return mismatch.kind in ("value", "gradient") or mismatch.of_shape


def _silent(case: Case, told: list[str]) -> dict[str, Any]:
    """Return the options that nobody said anything of and that apply to a case, with their defaults."""
    options = parameters_of(case.loss)
    distance = case.parameters.get("distance", options.get("distance", {}).get("default"))
    return {
        name: entry["default"]
        for name, entry in options.items()
        if name not in told and "default" in entry and entry.get("applies_to", distance) == distance
    }


def _explanations(case: Case, mismatch: Mismatch, silent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the other values of one option, or of two where no one does, with which the answer is right."""
    if isinstance(mismatch.got, int | float) and mismatch.got == 0:
        return []  # many a weight or hinge makes 0 of anything
    others = [(name, value) for name in silent for value in _others(case.loss, name)]
    others.sort(key=lambda pair: isinstance(pair[1], str))  # numbers first: eps = 0 before another distance
    for count in (1, 2):
        chosen = (dict(pairs) for pairs in combinations(others, count))
        if found := [one for one in chosen if len(one) == count and _explains(case, mismatch, one)]:
            return found
    return []


def _others(loss: str, name: str) -> Iterator[Any]:
    """Yield values that people work with, other than the default."""
    entry = parameters_of(loss)[name]
    usual = {"choice": entry.get("choices", []), "bool": [False, True], "real": [0.0, 1.0, 2.0, inf]}
    for value in usual.get(entry["kind"], []):
        if value != entry["default"] and expectation(entry, value) is None:
            yield value


def _explains(case: Case, mismatch: Mismatch, other: Mapping[str, Any]) -> bool:
    changed = replace(case, parameters={**case.parameters, **other}, dtypes={})
    try:
        expected = Oracle(ours=False).expected(changed)
    except (ValueError, TypeError):
        return False  # these options do not go together
    if mismatch.of_shape:
        return bool(expected.value.shape == mismatch.got)
    name, _, place = mismatch.where.partition("[")
    want: Array
    if name == "loss":
        want, budget = expected.value, np.asarray(expected.value_budget(GRADES[0]))
    elif name.removeprefix("gradient of ") in expected.gradients:
        name = name.removeprefix("gradient of ")
        want, budget = expected.gradients[name], expected.gradient_budget(GRADES[0])[name]
    else:
        return False
    index = tuple(int(part) for part in place.rstrip("]").split(",")) if place else ()
    if len(index) != want.ndim or not isinstance(mismatch.got, int | float):
        return False
    room = np.broadcast_to(budget, want.shape) + output_slack(want, case.dtype)
    try:
        return bool(abs(mismatch.got - want[index]) <= room[index])
    except IndexError:
        return False
