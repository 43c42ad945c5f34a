"""An answer against what is expected: each number against its own budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS, Array, arithmetic
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.hello import GRADES
from lossproof.conformance.judge.oracle import Expected, output_slack
from lossproof.conformance.judge.results import Mismatch

PARTS = ("value", "gradient", "second")


def unanswered(answer: Answer) -> Mismatch | None:
    """Return the mismatch of an answer that holds nothing to compare."""
    if answer.problem is None:
        return None
    kind = "raised" if answer.error else "failure"
    traceback = str(answer.error.get("traceback", "")) if answer.error else ""
    return Mismatch(kind, "the call", answer.problem, "a loss", errored=True, traceback=traceback)


def wrong_shape(got: Array, want: Array) -> Mismatch:
    """Return the mismatch of a loss whose shape is not the one its reduction gives."""
    return Mismatch("failure", "shape of the loss", got.shape, want.shape, errored=True, of_shape=True)


def accepted(answer: Answer) -> Mismatch | None:
    """Return the mismatch of a wrong call that is answered, or breaks the worker; None where it is refused."""
    if answer.refused:
        return None
    if answer.problem:
        return Mismatch("failure", "the call", answer.problem, "an error", errored=True)
    got = "results" if answer.value is None else answer.value.tolist()
    return Mismatch("accepted", "the call", got, "an error")


def shares(got: Array, want: Array, budget: Array, dtype: str) -> Array:
    """Return the error of each entry as a share of its budget; NaN where NaN is right counts as 0."""
    room = budget + output_slack(want, dtype)
    return np.where(overflown(got, want, room, dtype), 0.0, _of_room(got, want, room))


def _of_room(got: Array, want: Array, room: Array) -> Array:
    wide = np.longdouble if want.dtype == np.longdouble else np.float64
    with np.errstate(all="ignore"):
        share = np.asarray(np.abs(got.astype(wide) - want) / room, float)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    return np.where(same, 0.0, np.where(np.isnan(share), np.inf, share))


def overflown(got: Array, want: Array, room: Array, dtype: str) -> Array:
    """Mark the infinities to which a number beyond the largest of its format is rounded: CV-19."""
    largest = FORMATS[dtype].largest if dtype in FORMATS else np.inf
    return np.asarray(np.isinf(got) & (np.sign(got) == np.sign(want)) & (np.abs(want) + room >= largest))


def farthest(
    kind: str, where: str, got: Array, want: Array, room: Array, left_open: Array | bool = False
) -> tuple[Mismatch | None, float]:
    """Return the mismatch of the entry that is farthest out of its room, if one is, and the worst share of a room.

    `left_open` marks entries that the spec leaves open.
    """
    share = np.where(left_open, 0.0, _of_room(got, want, room))
    worst = float(np.max(share, initial=0.0))
    if worst <= 1:
        return None, worst
    place = tuple(map(int, np.unravel_index(int(np.argmax(share)), share.shape)))
    limit = float(np.broadcast_to(room, share.shape)[place])
    where += str(list(place)) if place else ""
    return Mismatch(kind, where, float(got[place]), float(want[place]), limit, worst), worst


def stated(want: Any) -> tuple[Array, Array]:
    """Return the numbers of a worked example, and which of them are left open: "unspecified", alone or as a row."""
    if not isinstance(want, list):
        unsaid = isinstance(want, str)
        return np.array(0.0 if unsaid else want, float), np.array(unsaid)
    parts = [stated(entry) for entry in want]
    shape = (len(want), *max((numbers.shape for numbers, _ in parts), key=len, default=()))
    numbers, left_open = np.zeros(shape), np.zeros(shape, bool)
    for place, part in enumerate(parts):
        numbers[place], left_open[place] = part
    return numbers, left_open


def against(
    case: Case,
    answer: Answer,
    expected: Expected,
    parts: tuple[str, ...],
    grade: str = "direct",
    unspecified: Mapping[str, Array] | None = None,
) -> tuple[Mismatch | None, dict[str, float]]:
    """Compare the parts of an answer; return the first mismatch, and the worst share of the budget of each part.

    `unspecified` marks what the spec leaves open: entries of the "loss" (with "none"), and rows of an input's gradient.
    """
    found = unanswered(answer)
    if found:
        return found, {}
    assert answer.value is not None
    if answer.value.shape != expected.value.shape:
        return wrong_shape(answer.value, expected.value), {}
    worst: dict[str, float] = {}
    for part in parts:
        for name, (got, dtype, want, budget) in entries(case, answer, expected, part, grade).items():
            if got.shape != want.shape:
                return _missing(name, part, answer, want) or Mismatch(
                    "failure", f"shape of the {name}", got.shape, want.shape, errored=True
                ), worst
            left_open = (unspecified or {}).get(name.split()[-1], np.array(False))
            if part != "value":
                left_open = left_open[..., None]
            elif left_open.shape != want.shape:
                left_open = np.array(False)
            room = budget + output_slack(want, dtype)
            mismatch, share = farthest(part, name, got, want, room, left_open | overflown(got, want, room, dtype))
            worst[part] = max(worst.get(part, 0.0), share)
            if mismatch:
                return mismatch, worst
    return None, worst


def _missing(name: str, part: str, answer: Answer, want: Array) -> Mismatch | None:
    """Return the mismatch of a gradient that did not come back."""
    given = {"gradient": answer.gradients, "second": answer.second}.get(part)
    if given is None or name.split()[-1] in given:
        return None
    got = f"no gradient came back for {name.split()[-1]}"
    return Mismatch("failure", name, got, f"shape {want.shape}", errored=True)


def entries(
    case: Case, answer: Answer, expected: Expected, part: str, grade: str
) -> Mapping[str, tuple[Array, str, Array, Array]]:
    """Return the arrays of one part of an answer: what came, its dtype, what is expected, and the budget."""
    if part == "value":
        assert answer.value is not None
        return {
            "loss": (
                answer.value,
                answer.value_dtype,
                expected.value,
                np.asarray(expected.value_budget(grade)),
            )
        }
    given, wanted = (answer.gradients, expected.gradients) if part == "gradient" else (answer.second, expected.second)
    budgets: Mapping[str, Array] = expected.gradient_budget(grade) if part == "gradient" else expected.second_budget
    word = "gradient of" if part == "gradient" else "second derivative for"
    return {f"{word} {n}": (given.get(n, np.zeros(())), case.dtype_of(n), wanted[n], budgets[n]) for n in wanted}


def grade_of(case: Case, answer: Answer, expected: Expected, parts: tuple[str, ...]) -> str | None:
    """Return the best grade at which the answer is within budget, or None."""
    return next((grade for grade in GRADES if against(case, answer, expected, parts, grade)[0] is None), None)


def is_coarse(mismatch: Mismatch, case: Case) -> bool:
    """Whether the error is what coarser arithmetic would make: right but for its precision."""
    coarse = 2.0**-24 if case.widest == "float64" else 2.0**-8
    return np.isfinite(mismatch.excess) and mismatch.excess * arithmetic(case.widest).roundoff <= coarse


def bits(answer: Answer) -> Any:
    """Return everything numeric of an answer, for comparisons bit for bit (zeros of either sign are equal).

    The results of a function that is no loss keep the signs of their zeros.
    """
    arrays = {"loss": answer.value, **{f"gradient of {name}": array for name, array in answer.gradients.items()}}
    found: dict[str, Any] = {w: None if a is None else (a.shape, (a + 0.0).tobytes()) for w, a in arrays.items()}
    return {"the results": [(a.shape, a.tobytes()) for a in answer.results], **found}
