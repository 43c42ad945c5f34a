"""The smallest case on which two implementations differ: drawn as the judge draws, and shrunk while they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.compare import PARTS
from lossproof.conformance.judge.judge import Crashed, Unsupported
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.judge.smallest import shrunk
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.conventions import conventions
from lossproof.conformance.plan.probe import OfAgreement, Options, Probe
from lossproof.conformance.side_by_side.explain import Explanation, explain
from lossproof.conformance.side_by_side.pair import Answers, Pair

CHECKS = ("value", "gradient", "reductions", "masking", "interface", "precision")
BOTH_PARTS = PARTS[:2]


@dataclass(frozen=True)
class Difference:
    """The smallest case on which two differ, what both answered, and why."""

    case: Case
    structure: Structure
    mismatch: Mismatch
    answers: Answers
    explanation: Explanation


def probes(own: LossCases) -> Iterator[Probe]:
    """Yield the probes whose cases both are asked: legal calls of every kind, in the first mode."""
    for probe in (*own.probes(), *conventions(own)):
        options = probe.options
        plain = type(options) is Options or (
            isinstance(options, OfAgreement) and not (options.large or options.beyond or options.dtypes)
        )
        if probe.check in CHECKS and "mode" not in probe.vary and plain and not getattr(options, "content", False):
            yield probe


def search(pair: Pair, loss: str, advance: Callable[[], None] = lambda: None) -> Difference | None:
    """Return the smallest case on which two differ, or None where they agree on all that were drawn."""
    for probe in probes(pair.losses[loss]):
        found = _first(pair, probe)
        advance()
        if found:
            return _smallest(pair, probe, *found)
    return None


def _first(pair: Pair, probe: Probe) -> tuple[Structure, int, tuple[Case, Mismatch]] | None:
    """Return the first difference among the cases of a probe, with its structure and its set of numbers."""
    found: list[tuple[Structure, int, tuple[Case, Mismatch]]] = []
    crashed: list[Crashed] = []  # raised when the drawing is over: it would draw once more

    def examine(structure: Structure) -> Finding | None:
        for fill in range(0 if found or crashed else pair.fills):
            try:
                failure = pair.failure(probe, structure, fill, BOTH_PARTS)
            except Crashed as problem:
                crashed.append(problem)
                break
            if failure:
                found.append((structure, fill, failure))
                break
        return None

    try:
        pair.structures(probe, Result(probe), examine)
    except Unsupported:
        return None
    if crashed:
        raise crashed[0]
    return found[0] if found else None


def _smallest(pair: Pair, probe: Probe, structure: Structure, fill: int, failure: tuple[Case, Mismatch]) -> Difference:
    """Shrink a difference; where an option explains it, it does so down to the smallest case."""
    answers = pair.answers(failure[0], structure)
    assert answers is not None
    explanation = explain(pair, structure, failure[0], answers, failure[1].kind)
    pair.explained = explanation.changes
    try:
        structure, _, (case, mismatch) = shrunk(pair, probe, structure, fill, BOTH_PARTS, failure)
    finally:
        pair.explained = None
    answers = pair.answers(case, structure)
    assert answers is not None
    return Difference(case, structure, mismatch, answers, explanation)
