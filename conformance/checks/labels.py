"""A label that is no row of the table: an error, or NaN in its own term and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.own_term import left_alone
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding, Result
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OfLabels, Probe
from lossproof.spec import losses

WILD = (-1, -7, -100, 10**6, 2**32)  # the ones that other libraries leave out or count from the end are among them


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Give one row that takes part a label outside the range, below and above."""

    def examine(structure: Structure) -> Finding | None:
        clean = judge.case(probe, structure, 0)
        if clean is None:
            return None
        rng = generator(judge.seed, probe.name, judge.losses[probe.loss].seed(structure))
        taking_part = np.flatnonzero(clean.inputs.get("mask", np.ones(clean.inputs["labels"].shape, bool)))
        row = int(taking_part[int(rng.integers(len(taking_part)))])
        options = losses()[probe.loss].parameters
        unlabelled = clean.parameters.get("unlabelled", options.get("unlabelled", {}).get("default"))
        wild = _at_ends(judge, clean) if probe.of(OfLabels).ends else [("int64", n) for n in (_size(clean), *WILD)]
        for dtype, label in ((dtype, label) for dtype, label in wild if label != unlabelled):
            labels = clean.inputs["labels"].astype(dtype if dtype == "uint64" else np.int64)
            labels[row] = label
            wrong = replace(clean, inputs={**clean.inputs, "labels": labels}, dtypes={"labels": dtype})
            result.planned += 1
            mismatch = left_alone(judge, judge.judged(clean, structure), judge.ask(clean), judge.ask(wrong), row)
            if mismatch:
                return judge.finding(probe, mismatch, wrong)
        return None

    judge.structures(probe, result, examine)


def _at_ends(judge: Judge, case: Case) -> Iterator[tuple[str, int]]:
    """Yield the numbers at the ends of each integer dtype that are no row of the table: 2**64 - 1 is not -1."""
    known, labels = list(judge.session.hello.get("integers", ["int64"])), case.inputs["labels"]
    for dtype in known[-1:] if judge.offers[case.loss].costly else known:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if labels.size and (labels.min() < low or labels.max() > high):
            continue
        yield from ((dtype, end) for end in (high, low) if not 0 <= end < _size(case))


def _size(case: Case) -> int:
    """Return the first integer above the range of the labels."""
    page = losses()[case.loss]
    symbol = re.fullmatch(r"\[0, (\w+)\)", page.inputs["labels"]["range"])
    assert symbol is not None
    for name, entry in page.inputs.items():
        if symbol[1] in entry["shape"].split():
            return int(case.inputs[name].shape[entry["shape"].split().index(symbol[1])])
    raise ValueError(f"{case.loss}: no input has an axis {symbol[1]}")
