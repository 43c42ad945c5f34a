"""What came back from a function that is no loss, against what must: kinds, dtypes and numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS, Array, arithmetic, rounded
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.compare import unanswered
from lossproof.conformance.judge.oracle import output_slack
from lossproof.conformance.judge.results import Mismatch
from lossproof.spec import functions

SLACK = 64.0  # units of the arithmetic, of the largest number of the call; one more for each row
_KINDS = {"bool": "b", "integer": "iu"}


def judged(case: Case, answer: Answer, wanted: list[Any] | None, exact: bool, ours: bool) -> Mismatch | None:
    """Return the first mismatch of an answer; `wanted` is None where an error is right.

    A rate is rounded once by our backends (VE-5); others may multiply by a rounded inverse, as XLA does.
    """
    if wanted is None:
        if answer.refused:
            return None
        return unanswered(answer) or Mismatch("accepted", "the call", "results", "an error")
    found = unanswered(answer)
    if found or answer.unsupported:
        return found
    if len(answer.results) != len(wanted):
        return Mismatch("failure", "number of results", len(answer.results), len(wanted), errored=True)
    names = functions()[case.loss]["returns"]
    for name, got, dtype, want in zip(names, answer.results, answer.result_dtypes, wanted, strict=True):
        mismatch = _kind(case, name, names[name], got, dtype)
        slack = 0.0 if exact else room(case, wanted)
        mismatch = mismatch or _compare(name, got, want, slack, dtype if not exact else "float64")
        if not mismatch and not exact and "rounded" in names[name] and dtype in ("float32", "float64"):
            inverse = 0.0 if ours else 2 * FORMATS[dtype].roundoff  # of a rate, which is at most 1
            mismatch = _compare(name, got, rounded(np.asarray(want, float), dtype), inverse, dtype)
            mismatch = mismatch and replace(mismatch, clause=names[name]["rounded"])
        if mismatch:
            return mismatch
    return None


def room(case: Case, wanted: list[Any]) -> float:
    """Return the largest error that arithmetic may make: of the largest number that goes in or comes out."""
    kinds = [entry["kind"] for entry in functions()[case.loss]["returns"].values()]  # the head is no size of a row
    results = [np.asarray(want, float) for want, kind in zip(wanted, kinds, strict=True) if kind == "float"]
    numbers = [*case.inputs.values(), *results]
    floats = [a[np.isfinite(a)] for a in numbers if a.dtype.kind == "f"]
    largest = max((float(np.max(np.abs(a), initial=0.0)) for a in floats), default=0.0)
    rows = max(len(a) for a in case.inputs.values() if a.ndim)
    return (SLACK + rows) * arithmetic(case.dtype).roundoff * largest


def _kind(case: Case, name: str, entry: Any, got: Array, dtype: str) -> Mismatch | None:
    """Return the mismatch of a result that is of another kind, or not of the dtype of the input that it replaces."""
    if got.dtype.kind not in _KINDS.get(entry["kind"], got.dtype.kind):
        return Mismatch("dtype", f"dtype of {name}", got.dtype.name, entry["kind"], clause=entry.get("clause"))
    own = case.dtype_of(entry["like"]) if "like" in entry else dtype
    if own == dtype:
        return None
    return Mismatch("dtype", f"dtype of {name}", dtype, own, clause=entry["clause"])


def _compare(name: str, got: Array, want: Any, slack: float, dtype: str) -> Mismatch | None:
    """Compare one result; the entries of an example that are "unspecified" stand for any number."""
    left_open = np.asarray(want, object) == "unspecified"
    numbers = np.where(left_open, 0, np.asarray(want, object)).astype(float)
    if got.shape != numbers.shape:
        return Mismatch("failure", f"shape of {name}", got.shape, numbers.shape, errored=True)
    if not got.size:
        return None
    rounding = output_slack(numbers, dtype) if slack and dtype in FORMATS else np.zeros(())
    limit = np.broadcast_to(slack + rounding, numbers.shape)
    values = got.astype(float)
    with np.errstate(invalid="ignore"):
        right = (values == numbers) | (np.isnan(values) & np.isnan(numbers)) | (np.abs(values - numbers) <= limit)
    wrong = np.argwhere(~(right | left_open))
    if not len(wrong):
        return None
    place = tuple(map(int, wrong[0]))
    where = name + ("[" + ", ".join(map(str, place)) + "]" if place else "")
    return Mismatch("value", where, float(values[place]), float(numbers[place]), float(limit[place]))
