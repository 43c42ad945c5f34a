"""What a call of a function that is no loss must return, and whether plain calls of one are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS, Array, arithmetic, rounded
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.compare import accepted, farthest, overflown, stated, unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.oracle import output_slack
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.functions import calls, case_of, examples
from lossproof.conformance.plan.plan import plain_probe
from lossproof.conformance.plan.probe import Probe
from lossproof.spec import Example, functions

SLACK = 64.0  # units of the arithmetic, of the largest number of the call; one more for each row
_KINDS = {"bool": "b", "integer": "iu"}


def offer_of(judge: Judge, probe: Probe, *, compared: bool) -> Offer:
    """Return what is offered of a function; raise where it is not, or is the reference and would be its own judge."""
    if probe.loss not in judge.offers:
        raise Unsupported(f"no function {probe.loss}")
    if judge.oracle.exact_only and compared:
        raise Unsupported("the reference is not judged by itself")
    return judge.offers[probe.loss]


def obscured(judge: Judge, probe: Probe, result: Result) -> bool:
    """Whether an example or a plain drawn call is wrong, and names its own clause: other calls say nothing new."""
    if plain_right(judge, probe.loss):
        return False
    judge.obscured = result.planned = 1
    return True


def examples_right(judge: Judge, name: str) -> bool:
    """Whether every example of a function is right."""
    asked = examples(name, judge.offers[name])
    return judge.plain.right(name, "examples", lambda: not any(failure_of_example(judge, e)[1] for e in asked))


def plain_right(judge: Judge, name: str) -> bool:
    """Whether every example and every plain drawn call of a function is right."""
    offer = judge.offers[name]
    drawn = calls(offer, plain_probe(name), offer.plain_dtype, judge.seed, judge.examples)
    return judge.plain.right(
        name, "drawn", lambda: examples_right(judge, name) and not any(failure(judge, case) for case in drawn)
    )


def failure(judge: Judge, case: Case, sibling: Case | None = None) -> Mismatch | None:
    """Ask one call and compare it with what the reference answers to it, or to a sibling that is answered alike."""
    asked = judge.with_fixed(sibling or case)
    wanted = judge.oracle.results(asked)
    less, more = judge.oracle.undecided_share(asked)
    if more + less:  # of one number, which may be anywhere between
        wanted = [np.asarray(want + (more - less) / 2) for want in wanted]
    return against(case, judge.ask(case), wanted, ours=judge.oracle.ours, undecided=(more + less) / 2)


def failure_of_example(judge: Judge, example: Example) -> tuple[Case, Mismatch | None]:
    """Ask the call of a worked example and compare it with the page."""
    case = case_of(example, judge.offers[str(example.function)])
    answer = judge.ask(case)
    if example.raises:
        return case, accepted(answer)
    wanted = example.result if len(functions()[case.loss]["returns"]) > 1 else [example.result]
    return case, against(case, answer, wanted, exact=example.exact, ours=judge.oracle.ours)


def against(
    case: Case, answer: Answer, wanted: Any, *, exact: bool = False, ours: bool, undecided: float = 0.0
) -> Mismatch | None:
    """Return the first mismatch of an answer; `undecided` is what rounding may decide.

    A rate is rounded once by our backends (VE-5); others may multiply by a rounded inverse, as XLA does.
    """
    found = unanswered(answer)
    if found or answer.unsupported:
        return found
    if len(answer.results) != len(wanted):
        return Mismatch("failure", "number of results", len(answer.results), len(wanted), errored=True)
    slack, entries = 0.0 if exact else room(case, wanted) + undecided, functions()[case.loss]["returns"]
    came = zip(answer.results, answer.result_dtypes, strict=True)
    for (name, entry), (got, dtype), want in zip(entries.items(), came, wanted, strict=True):
        mismatch = _kind(case, name, entry, got, dtype) or _numbers(name, got, want, slack, dtype)
        if not mismatch and not exact and "rounded" in entry and dtype in ("float32", "float64"):
            inverse = 0.0 if ours else 2 * FORMATS[dtype].roundoff  # of a rate, which is at most 1
            mismatch = _numbers(name, got, rounded(np.asarray(want, float), dtype), inverse, dtype)
            mismatch = mismatch and replace(mismatch, clause=entry["rounded"])
        if mismatch:
            return mismatch
    return None


def room(case: Case, wanted: list[Any]) -> float:
    """Return the largest error that arithmetic may make: of the largest number that goes in or comes out.

    Where the page says how large a result is (`size`: a number, or an option), of that.
    """
    entries = functions()[case.loss]["returns"].values()
    sizes = [size_of(case, entry) for entry in entries if "size" in entry]
    results = [np.asarray(w, float) for w, e in zip(wanted, entries, strict=True) if e["kind"] == "float"]
    numbers = [*case.inputs.values(), *results]  # the head is no size of a row
    floats = [a[np.isfinite(a)] for a in numbers if a.dtype.kind == "f"]
    largest = max(sizes or (float(np.max(np.abs(a), initial=0.0)) for a in floats), default=0.0)
    units = max(float(entry.get("units", SLACK + rows_of(case))) for entry in entries)
    return units * unit_of(case) * largest


def size_of(case: Case, entry: Mapping[str, Any]) -> float:
    """Return how large a result may be, as the page says it."""
    size, options = entry["size"], functions()[case.loss].get("parameters", {})
    return float(case.parameters.get(size, options[size]["default"]) if isinstance(size, str) else size)


def rows_of(case: Case) -> int:
    """Return the number of rows of the longest input."""
    return max(len(a) for a in case.inputs.values() if a.ndim)


def unit_of(case: Case) -> float:
    """Return the unit roundoff of the arithmetic of a call."""
    return float(arithmetic(case.widest).roundoff)


def _kind(case: Case, name: str, entry: Mapping[str, Any], got: Array, dtype: str) -> Mismatch | None:
    """Return the mismatch of a result of another kind, or not of the dtype of what it replaces or of the arithmetic."""
    if got.dtype.kind not in _KINDS.get(entry["kind"], got.dtype.kind):
        return Mismatch("dtype", f"dtype of {name}", got.dtype.name, entry["kind"], clause=entry.get("clause"))
    wide = "float64" if case.widest == "float64" else "float32"
    if "dtype" in entry and dtype not in (wide, "float64"):
        return Mismatch("dtype", f"dtype of {name}", dtype, wide, clause=entry["dtype"])
    own = case.dtype_of(entry["like"]) if "like" in entry else dtype
    if own == dtype:
        return None
    return Mismatch("dtype", f"dtype of {name}", dtype, own, clause=entry["clause"])


def _numbers(name: str, got: Array, want: Any, slack: float, dtype: str) -> Mismatch | None:
    """Compare one result, of the reference or of a page; without slack to the last bit."""
    numbers, left_open = (want.astype(float), False) if isinstance(want, np.ndarray) else stated(want)
    if got.shape != numbers.shape:
        return Mismatch("failure", f"shape of {name}", got.shape, numbers.shape, errored=True)
    got, rounding = got.astype(float), output_slack(numbers, dtype) if slack and dtype in FORMATS else np.zeros(())
    room = slack + rounding
    return farthest("value", name, got, numbers, room, left_open | overflown(got, numbers, room, dtype))[0]
