"""A number below the range of its input: an error, or NaN in its own term and nowhere else; nothing in a masked row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.own_term import left_alone
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OfRanges, Probe

BELOW = (-1.0, -64.0, -(2.0**-10))  # by how much a number is below the range; a row may still add up to its old sum


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Give one row that takes part a number below 0, and one that is masked out."""
    name = probe.of(OfRanges).input

    def examine(structure: Structure) -> Finding | None:
        clean = judge.case(probe, structure, 0)
        if clean is None:
            return None
        for row, wrong in _wrong(judge, probe, structure, clean, name):
            result.planned += 1
            if clean.inputs.get("mask", np.ones(row + 1, bool))[row]:
                mismatch = left_alone(judge, judge.judged(clean, structure), judge.ask(clean), judge.ask(wrong), row)
            else:
                mismatch = _looked_at(judge, structure, clean, wrong)
            if mismatch:
                return judge.finding(probe, mismatch, wrong)
        return None

    judge.structures(probe, result, examine)


def _wrong(judge: Judge, probe: Probe, structure: Structure, clean: Case, name: str) -> Iterator[tuple[int, Case]]:
    """Yield calls with a negative number, and the row that it stands in."""
    rng, array = generator(judge.seed, probe.name, judge.losses[probe.loss].seed(structure)), clean.inputs[name]
    takes_part = clean.inputs.get("mask", np.ones(len(array), bool))
    for rows in filter(len, (np.flatnonzero(takes_part), np.flatnonzero(~takes_part))):
        row, column = int(rng.choice(rows)), int(rng.integers(array.shape[1]))
        for number in BELOW:
            changed = array.copy()
            changed[row, column] = number
            yield row, replace(clean, inputs={**clean.inputs, name: changed})


def _looked_at(judge: Judge, structure: Structure, clean: Case, wrong: Case) -> Mismatch | None:
    """Return the mismatch of a call that is wrong in a masked row alone, where it is right without that."""
    failure = judge.judge_case(wrong, structure, ("value",))
    return failure[1] if failure and judge.judge_case(clean, structure, ("value",)) is None else None
