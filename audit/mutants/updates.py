"""Broken updates of the centers and of the memory, each the correct one in numpy with a method replaced."""

from __future__ import annotations

from typing import Any

import numpy as np

from audit.mutants import Mutant, table
from audit.mutants.legal import legal
from lossproof.conformance.host.arrays import Array


class Centers:
    """`update_centers`."""

    ALPHA = 0.5

    def __call__(self, centers: Array, embeddings: Array, labels: Array, mask: Any = None, **options: float) -> Array:
        """Return the new centers."""
        alpha = options.get("alpha", self.ALPHA)
        self.check(alpha)
        part = self.part(np.ones(len(labels), bool) if mask is None else mask)
        moved = centers.copy()
        for j in range(len(centers)):
            moved[j] = self.moved(centers[j], embeddings, (labels == j) & part, labels == j, alpha)
        return moved

    def part(self, mask: Array) -> Array:
        """Return the rows that take part."""
        return mask

    def check(self, alpha: float) -> None:
        """Refuse a step outside [0, 1]."""
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}, expected a number of [0, 1]")

    def moved(self, c: Array, rows: Array, own: Array, labelled: Array, alpha: float) -> Array:
        """Return one center."""
        return c + alpha * (rows[own] - c).sum(0) / (1 + own.sum()) if own.any() else c


class Memory:
    """`update_oim_memory`."""

    MOMENTUM, NORMALISE, UNLABELLED = 0.5, True, -1

    def __call__(
        self, lookup_table: Array, queue: Array, head: Any, embeddings: Array, labels: Array, mask: Any = None, **given: Any
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """Return table, queue and head."""
        momentum = given.get("momentum", self.MOMENTUM)
        normalise, unlabelled = given.get("normalise", self.NORMALISE), given.get("unlabelled", self.UNLABELLED)
        self.check(momentum)
        part = self.part(np.ones(len(labels), bool) if mask is None else mask)
        table_, rows, at = lookup_table.copy(), queue.copy(), int(head)
        for i in self.order(labels):
            if part[i] and labels[i] != unlabelled:
                v = self.mixed(table_[labels[i]], embeddings[i], momentum, lookup_table[labels[i]])
                table_[labels[i]] = self.unit(v) if normalise else v
            elif self.queued(part[i], labels[i], unlabelled) and len(queue):
                rows, at = self.written(rows, at, embeddings[i])
        table_ = self.finished(table_, normalise)
        return table_, rows, self.head(at, head)

    def head(self, at: int, before: Any) -> Array:
        """Return the new head, in the dtype of the one before."""
        return np.asarray(at, np.asarray(before).dtype)

    def check(self, momentum: float) -> None:
        """Refuse a momentum outside [0, 1]."""
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}, expected a number of [0, 1]")

    def part(self, mask: Array) -> Array:
        """Return the rows that take part."""
        return mask

    def order(self, labels: Array) -> Any:
        """Return the order of the visits."""
        return range(len(labels))

    def mixed(self, v: Array, x: Array, momentum: float, first: Array) -> Array:
        """Return where an identity moves; `first` is where it was before the batch."""
        return momentum * v + (1 - momentum) * x

    def unit(self, v: Array) -> Array:
        """Return a row of length 1; 0 stays 0."""
        return v / (np.sqrt((v * v).sum()) or 1.0)

    def finished(self, table_: Array, normalise: bool) -> Array:
        """Return the table after the last visit."""
        return table_

    def queued(self, part: bool, label: int, unlabelled: int) -> bool:
        """Return whether a row goes into the queue."""
        return part and label == unlabelled

    def written(self, rows: Array, at: int, x: Array) -> tuple[Array, int]:
        """Return the queue and its head after one row."""
        rows[at] = x
        return rows, (at + 1) % len(rows)


def _one_by_one(s: Centers, c: Array, rows: Array, own: Array, labelled: Array, alpha: float) -> Array:
    for x in rows[own]:
        c = c + alpha * (x - c) / 2
    return c


def _counted(s: Centers, c: Array, rows: Array, own: Array, labelled: Array, alpha: float) -> Array:
    return c + alpha * (rows[own] - c).sum(0) / (1 + labelled.sum()) if own.any() else c


def _times(s: Centers, c: Array, rows: Array, own: Array, labelled: Array, alpha: float) -> Array:
    return c + alpha * (own[:, None] * (rows - c)).sum(0) / (1 + own.sum()) if labelled.any() else c


def _written_while_room(s: Memory, rows: Array, at: int, x: Array) -> tuple[Array, int]:
    if at < len(rows):
        rows[at] = x
    return rows, min(at + 1, len(rows))


def _mutant(kind: type, name: str, key: str, bug: str, *names: str, seen: str = "", **methods: Any) -> Mutant:
    function = legal(name, type(key, (kind,), methods)(), methods)
    return Mutant(key, bug, names, function, seen, loss=name, framework="numpy")


def _centers(key: str, bug: str, *names: str, **rest: Any) -> Mutant:
    return _mutant(Centers, "update_centers", key, bug, *names, **rest)


def _memory(key: str, bug: str, *names: str, **rest: Any) -> Mutant:
    return _mutant(Memory, "update_oim_memory", key, bug, *names, **rest)


MUTANTS = table(
    _centers("uc-mean", "a center moves by the mean of its differences", "CN-11", seen="ports of S14", moved=lambda s, c, x, own, y, a: c + a * (x[own] - c).mean(0) if own.any() else c),
    _centers("uc-sum", "the sum of the differences is not divided", "CN-11", seen="CN-8 mixed with CN-11", moved=lambda s, c, x, own, y, a: c + a * (x[own] - c).sum(0)),
    _centers("uc-away", "a center moves away from its rows", "CN-11", moved=lambda s, c, x, own, y, a: Centers.moved(s, c, x, own, y, -a)),
    _centers("uc-one-by-one", "each row moves the center that the one before it left", "CN-11", seen="updates in a loop", moved=_one_by_one),
    _centers("uc-decay", "a center without rows is drawn to 0", "CN-12", seen="weight decay on the centers", moved=lambda s, c, x, own, y, a: Centers.moved(s, c, x, own, y, a) if own.any() else (1 - a) * c),
    _centers("uc-all-rows", "a center without rows moves to the mean of the batch", "CN-12", moved=lambda s, c, x, own, y, a: Centers.moved(s, c, x, own, y, a) if y.any() else c + a * (x.mean(0) - c)),
    _centers("uc-mask-ignored", "rows that are masked out move their center", "CN-13", part=lambda s, mask: mask | True),
    _centers("uc-mask-counted", "rows that are masked out are counted", "CN-13", moved=_counted),
    _centers("uc-mask-times", "the mask is a factor", "CN-13", moved=_times),
    _centers("uc-alpha-one", "alpha is 1 unless given", "CN-15", ALPHA=1.0),
    _centers("uc-alpha-any", "any alpha is taken", "CN-16", check=lambda s, alpha: None),
    _centers("uc-alpha-open", "an alpha of 0 is refused", "CN-16", check=lambda s, alpha: Centers.check(s, alpha or 2.0)),
    _centers("uc-alpha-zero-skips", "with an alpha of 0 the old centers come back, and NaN goes unseen", "CN-16", seen="an early return", moved=lambda s, c, x, own, y, a: Centers.moved(s, c, x, own, y, a) if a else c),
    _memory("um-momentum-of-the-row", "momentum and its complement change places", "OI-13", seen="updates written with 1 - momentum", mixed=lambda s, v, x, m, first: (1 - m) * v + m * x),
    _memory("um-single-momentum", "the momentum is rounded to float32 for float64 too", "OI-13", seen="tf.constant(momentum)", mixed=lambda s, v, x, m, first: Memory.mixed(s, v, x, float(np.float32(m)), first)),
    _memory("um-not-normalised", "no row is divided by its norm", "OI-14", seen="the authors' layer", unit=lambda s, v: v),
    _memory("um-sum-norm", "a row is divided by the sum of its sizes", "OI-14", unit=lambda s, v: v / (np.abs(v).sum() or 1.0)),
    _memory("um-all-normalised", "rows that nothing visits are divided by their norm", "OI-14", finished=lambda s, t, normalise: np.array([s.unit(v) for v in t]) if normalise else t),
    _memory("um-normalised-at-the-end", "a row is divided by its norm after the last visit alone", "OI-14", "OI-15", unit=lambda s, v: v, finished=lambda s, t, normalise: np.array([Memory.unit(s, v) for v in t]) if normalise else t),
    _memory("um-last-row-wins", "of several rows of one identity the last alone counts", "OI-15", seen="indexed assignment", mixed=lambda s, v, x, m, first: m * first + (1 - m) * x),
    _memory("um-reversed", "the rows visit in reversed order", "OI-15", "OI-17", "OI-18", order=lambda s, labels: reversed(range(len(labels)))),
    _memory("um-zero-nan", "a row that is zero is divided by 0", "OI-16", seen="x / norm(x)", unit=lambda s, v: v / np.sqrt((v * v).sum())),
    _memory("um-queue-shifted", "the new row comes first and pushes the others on", "OI-17", "OI-18", written=lambda s, rows, at, x: (np.concatenate([x[None], rows[:-1]]), at)),
    _memory("um-head-stays", "the head does not go on", "OI-17", "OI-18", written=lambda s, rows, at, x: (Memory.written(s, rows, at, x)[0], at)),
    _memory("um-first-stay", "a queue that is full takes no more", "OI-18", written=_written_while_room),
    _memory("um-queue-normalised", "a row of the queue is divided by its norm", "OI-17", written=lambda s, rows, at, x: Memory.written(s, rows, at, s.unit(x))),
    _memory("um-mask-ignored", "rows that are masked out visit", "OI-19", part=lambda s, mask: mask | True),
    _memory("um-masked-queued", "rows that are masked out are written into the queue", "OI-19", queued=lambda s, part, y, unlabelled: not part or y == unlabelled),
    _memory("um-head-wide", "the head comes back as int64", "OI-21", head=lambda s, at, before: np.asarray(at)),
    _memory("um-momentum-any", "any momentum is taken", "OI-22", check=lambda s, momentum: None),
    _memory("um-momentum-one-skips", "with a momentum of 1 the old row comes back, and NaN goes unseen", "OI-22", seen="an early return", mixed=lambda s, v, x, m, first: v if m == 1 else Memory.mixed(s, v, x, m, first)),
    _memory("um-momentum-zero-skips", "with a momentum of 0 the new row comes back, and NaN goes unseen", "OI-22", seen="an early return", mixed=lambda s, v, x, m, first: x if m == 0 else Memory.mixed(s, v, x, m, first)),
    _memory("um-momentum-default", "momentum is 0.9 unless given", "OI-23", MOMENTUM=0.9),
    _memory("um-plain-default", "nothing is normalised unless asked", "OI-23", seen="the authors' layer", NORMALISE=False),
    _memory("um-unlabelled-default", "rows without an identity have label -2 unless given", "OI-23", "OI-17", "OI-18", UNLABELLED=-2),
)  # fmt: skip

CORRECT = {
    "update_centers": legal("update_centers", Centers()),
    "update_oim_memory": legal("update_oim_memory", Memory()),
}
__all__ = ["CORRECT", "MUTANTS"]
