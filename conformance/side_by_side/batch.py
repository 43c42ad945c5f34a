"""Two implementations on a batch of a user's own: what each answers, why, and which rows make the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.judge import Unsupported
from lossproof.conformance.judge.results import Mismatch
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.side_by_side.difference import apart, difference
from lossproof.conformance.side_by_side.explain import Explanation, explain
from lossproof.conformance.side_by_side.offers import Incomparable
from lossproof.conformance.side_by_side.pair import Answers, Pair
from lossproof.conformance.side_by_side.units import rows_apart, units_apart, unsaid


@dataclass(frozen=True)
class OnBatch:
    """What two answer on a batch: without a mismatch they agree, but for what is left open."""

    case: Case
    structure: Structure
    answers: Answers
    mismatch: Mismatch | None
    sentences: tuple[str, ...]  # which rows differ, and what is left open
    explanation: Explanation | None = None


def on_batch(pair: Pair, case: Case) -> OnBatch:
    """Ask both a batch, without options; Incomparable where they do not both answer."""
    structure = _structure(pair, case)
    case = replace(case, order=min(1, max(pair.offers[case.loss].orders)))
    lacking = [name for name in case.inputs if not pair.offers[case.loss].has(name)]
    if lacking:
        raise Incomparable(f"{case.loss}: not both have the input {lacking[0]}")
    answers = pair.answers(case, structure)
    if answers is None:
        letter, words = next(iter(pair.stopped.items()))
        raise Incomparable(f"{letter} does not answer the batch: {words}")
    left_open, sentences = unsaid(pair, case, structure)
    mismatch = difference(*pair.entries(case, structure, answers), left_open)
    if mismatch is None:
        return OnBatch(case, structure, answers, None, sentences)
    rows = _gradients(pair, case, structure, answers, left_open)
    said = (units_apart(pair, case, structure), *rows, *sentences)
    return OnBatch(case, structure, answers, mismatch, said, explain(pair, structure, case, answers, mismatch.kind))


def _structure(pair: Pair, case: Case) -> Structure:
    """Return the structure of plain calls in the dtype of a batch: every option has its default."""
    offer = pair.offers[case.loss]
    if not offer.choices("dtype", [case.dtype]):
        raise Incomparable(f"{case.loss}: not both work in {case.dtype}; both have {', '.join(offer.dtypes)}")
    try:
        fields = pair.choices(Probe(case.loss, "value", ""))
    except Unsupported as problem:
        raise Incomparable(f"{case.loss}: not both have {problem}") from problem
    drawn = {name: values[0] for name, values in fields.items()} | {"dtype": case.dtype}
    return pair.losses[case.loss].normal(drawn, offer) | {"defaults": True}


def _gradients(
    pair: Pair, case: Case, structure: Structure, answers: Answers, left_open: Mapping[str, Array]
) -> Iterator[str]:
    """Yield in which rows each gradient differs."""
    one, other = pair.entries(case, structure, answers)
    for where in (where for where in one if where in other and where != "loss"):
        a, b = one[where], other[where]
        if a.got.shape == b.got.shape and a.got.ndim > 1:
            wrong = apart(a, b, left_open.get(where, False))
            if wrong.any():
                yield f"In the {where}, {rows_apart(wrong)}."
