"""NaN and infinity in rows that take part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Result
from lossproof.conformance.plan.cases.candidates import open_beside
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.probe import OfNan, Probe
from lossproof.spec import losses


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Poison one row of a general case: CV-10 the value, CV-11 the other gradients, CV-12 infinity."""
    options = probe.of(OfNan)
    if options.part == "gradient" and 1 not in judge.offers[probe.loss].orders:
        raise Unsupported("no gradients")
    if options.of_ours and not judge.oracle.ours:
        raise Unsupported("asked of this project's backends alone")
    own = judge.losses[probe.loss].unspecified if options.left_open else None

    def examine(structure: dict[str, Any]) -> Finding | None:
        clean = judge.case(probe, structure, 0)
        if clean is None:
            return None
        result.planned += 1
        if judge.judge_case(clean, structure, ("value", "gradient") if clean.order else ("value",)):
            judge.obscured += 1
            return None
        rng = generator(judge.seed, probe.name, structure)
        left = open_beside if options.left_open and "candidates" in clean.inputs else own
        case = _poisoned(clean, options, rng)
        failure = judge.judge_case(case, structure, (options.part,), result, left(case) if left else None)
        if failure:
            return judge.finding(probe, failure[1], failure[0])
        return None

    judge.structures(probe, result, examine)


def _poisoned(case: Case, options: OfNan, rng: np.random.Generator) -> Case:
    """Put NaN or infinity at one place of a row that takes part; its partners may be rows of zeros."""
    names = losses()[case.loss].rows
    name = options.of or names[int(rng.integers(len(names)))]
    array, mask = case.inputs[name].copy(), "candidate_mask" if name == "candidates" else "mask"
    taking_part = np.argwhere(case.inputs.get(mask, np.ones(array.shape[:-1], bool)))
    row = tuple(taking_part[int(rng.integers(len(taking_part)))])
    array[(*row, int(rng.integers(array.shape[-1])))] = options.poison
    inputs = {**case.inputs, name: array}
    for other in (n for n in names if options.against_zero and n != name):
        inputs[other] = case.inputs[other].copy()
        inputs[other][row] = 0.0
    return replace(case, inputs=inputs)
