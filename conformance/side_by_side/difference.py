"""How far two answers to one call are apart, and how far they may be: the budgets of both together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.compare import entries, farthest, overflown
from lossproof.conformance.judge.oracle import Expected, output_slack
from lossproof.conformance.judge.results import Mismatch


class Entry(NamedTuple):
    """One array of an answer, what the page says of it, and how far from that it may be."""

    got: Array
    want: Array
    room: Array
    dtype: str

    @property
    def meant(self) -> Array:
        """Return the answer with the page's number for an infinity that is its rounding (CV-19)."""
        if self.got.shape != self.want.shape:
            return self.got
        return np.where(overflown(self.got, self.want, self.room, self.dtype), self.want, self.got)


Entries = Mapping[str, Entry]


def entries_of(judged: Case, answer: Answer, expected: Expected, grade: str, parts: tuple[str, ...]) -> Entries:
    """Return the arrays of an answer by where they stand: "loss", "gradient of anchor"; a gradient left out is none."""
    found, derived = {}, {"gradient": answer.gradients, "second": answer.second}
    for part in parts:
        for where, (got, dtype, want, budget) in entries(judged, answer, expected, part, grade).items():
            if part == "value" or where.split()[-1] in derived[part]:
                found[where] = Entry(got, want, np.asarray(budget + output_slack(want, dtype), float), dtype)
    return found


def allowed(one: Entry, other: Entry) -> Array:
    """Return how far two answers may be apart; a budget of another shape than the answer counts at its largest."""
    rooms = [e.room if e.room.shape == e.got.shape else np.max(e.room, initial=0.0) for e in (one, other)]
    return np.asarray(rooms[0] + rooms[1])


def difference(one: Entries, other: Entries, left_open: Mapping[str, Array] | None = None) -> Mismatch | None:
    """Return the first place at which two answers are farther apart than both budgets: got is of the one."""
    for where in (where for where in one if where in other):
        kind, (a, b) = "value" if where == "loss" else "gradient", (one[where], other[where])
        if a.got.shape != b.got.shape:
            return Mismatch(kind, f"shape of the {where}", a.got.shape, b.got.shape)
        found, _ = farthest(kind, where, a.meant, b.meant, allowed(a, b), _open(left_open, where, a.got))
        if found:
            return found
    return None


def apart(one: Entry, other: Entry, left_open: Array | bool = False) -> Array:
    """Return which entries of two answers of one shape are farther apart than both budgets."""
    a, b = one.meant, other.meant
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= allowed(one, other)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.asarray(~(near | same | left_open))


def _open(left_open: Mapping[str, Array] | None, where: str, array: Array) -> Any:
    found = (left_open or {}).get(where, np.array(False))
    return found if found.shape in ((), array.shape) else np.array(False)
