"""Where functions of one setting part: anchors without a positive, nothing at all, rows that are equal, gradients.

The setting is told apart on ordinary batches first. Here the members of one class are put in order, and what the
function does otherwise than a clause of the page is said, with the smallest call that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.session import Asked as Session
from lossproof.conformance.identify.batches import LATTICE
from lossproof.conformance.identify.formulas import Batch
from lossproof.conformance.identify.search import Found, Match
from lossproof.spec import losses

SINGLE = {
    "batch_hard_triplet_loss": "BH-2",
    "batch_all_triplet_loss": "BA-2",
    "semi_hard_triplet_loss": "SH-4",
    "circle_loss": "CI-6",
}
# Batches in which some rows are equal.
COINCIDENT = {("triplet_margin_loss", 8), ("contrastive_loss", 8), *((loss, 10) for loss in SINGLE)}
TIES = {"batch_hard_triplet_loss": "BH-8", "semi_hard_triplet_loss": "SH-8"}  # where equal rows are candidates
SLACK = {"float64": 1e-9, "float32": 1e-4}  # of a gradient, relative to its largest entry


@dataclass(frozen=True)
class Departure:
    """A call on which the function does otherwise than the page, although its setting is the page's."""

    clause: str
    where: str
    case: Case
    what: str
    got: object
    want: object


def corners(loss: str) -> Iterator[tuple[str, str, Batch]]:
    """Yield a clause, the words of a corner, and a call in it."""
    rng = np.random.default_rng(7)
    if loss in SINGLE:
        rows = 1 + 0.02 * rng.normal(size=(6, 2))  # so near to one another that what counts has an open hinge
        of = {
            "an anchor has no positive": (rows, [0, 0, 1, 1, 2, 3]),
            "no anchor has a negative": (rows[:3], [0, 0, 0]),
            "no anchor has a positive": (rows[:3], [0, 1, 2]),
            "the batch has one row": (rows[:1], [0]),
        }
        for where, (own, labels) in of.items():
            yield SINGLE[loss], where, Batch({"embeddings": own, "labels": np.array(labels)})
    else:
        widths = {"D": 2, "C": 3, "K": 3, "Q": 2}
        page = losses()[loss].inputs
        empty: dict[str, Array] = {}
        for name, entry in page.items():
            if not entry.get("optional"):
                shape = tuple(widths.get(axis, 0) for axis in entry["shape"].split() or ["B"])
                kind = np.int64 if entry["kind"] in ("label", "bool") else np.float64
                empty[name] = np.ones(shape, kind)
        yield "CV-5", "the batch is empty", Batch(empty)


def in_order(session: Session, found: Found) -> tuple[list[Match], list[Departure]]:
    """Return the matches that agree in most corners, the fewest departures first, and where the first does not."""
    legal = [m for m in found.matches if not m.candidate.departs] or list(found.matches)
    pages = dict.fromkeys(match.candidate.loss for match in legal)
    values = {loss: [(*corner, *_asked(session, found, corner[2])) for corner in corners(loss)] for loss in pages}
    gradients = list(_with_gradients(session, found))

    def departures(match: Match) -> list[Departure]:
        if match.candidate.departs:
            return []
        return [*_of_values(match, values[match.candidate.loss], found), *_of_gradients(match, gradients, found)]

    marked = [(len(departures(match)), match.departures, n) for n, match in enumerate(legal)]
    fewest = min((apart for apart, _, _ in marked), default=0)
    ordered = [legal[n] for apart, _, n in sorted(marked) if apart == fewest]
    return ordered, departures(ordered[0]) if ordered else []


def _asked(
    session: Session, found: Found, batch: Batch, order: int = 0, shape: tuple[int, ...] = ()
) -> tuple[Case, Answer]:
    loss = next(name for name in found.group.losses if name in session.hello["losses"])
    ones = np.ones(shape) if order else None
    handed = {name: array.dtype for name, array in found.asked[0][0].items()}  # labels as it takes them
    batch = Batch({name: array.astype(handed[name]) for name, array in batch.items()})
    case = Case(loss, batch, found.dtype, {}, session.hello["modes"][0], order, ones)
    return case, session.ask(case)


def _with_gradients(session: Session, found: Found) -> Iterator[tuple[int, Batch, Case, Answer]]:
    for turn, (batch, answer) in enumerate(found.asked):
        if answer.value is not None and turn != LATTICE:
            case, told = _asked(session, found, batch, 1, answer.value.shape)
            if not told.gradients:
                return  # it has none
            yield turn, batch, case, told


def _of_values(
    match: Match, asked: Sequence[tuple[str, str, Batch, Case, Answer]], found: Found
) -> Iterator[Departure]:
    for clause, where, batch, case, answer in asked:
        want = match.candidate.value(batch, match.numbers)
        if answer.value is None:
            yield Departure(clause, where, case, "the call", answer.problem or answer.unsupported, want.tolist())
        elif not _near(answer.value, want, found.dtype):
            yield Departure(clause, where, case, "the loss", answer.value.tolist(), want.tolist())


def _of_gradients(match: Match, asked: Sequence[tuple[int, Batch, Case, Answer]], found: Found) -> Iterator[Departure]:
    """Yield where the gradient is another: where rows are equal, and on the first ordinary batch that shows it."""
    seen: set[str] = set()
    for turn, batch, case, told in asked:
        equal = (match.candidate.loss, turn) in COINCIDENT
        clause, where = ("DI-15", "two rows are equal") if equal else ("CV-16", "the batch is ordinary")
        for name, want in match.candidate.gradients(batch, match.numbers).items():
            got = told.gradients.get(name)
            if got is not None and clause not in seen and not _near(got, want, found.dtype):
                seen.add(clause)
                if equal and np.all(np.isfinite(got)):
                    clause = TIES.get(match.candidate.loss, clause)
                place = tuple(int(i) for i in np.unravel_index(np.argmax(_apart(got, want)), want.shape))
                what = f"the gradient of {name}{list(place)}"
                yield Departure(clause, where, case, what, float(got[place]), float(want[place]))


def _near(got: Array, want: Array, dtype: str) -> bool:
    if got.shape != want.shape:
        return False
    largest = max(1.0, float(np.max(np.abs(want), initial=0.0)))
    return bool(np.all(_apart(got, want) <= SLACK[dtype] * largest))


def _apart(got: Array, want: Array) -> Array:
    apart = np.abs(np.asarray(got, np.float64) - want)
    return np.where(np.isnan(got) & np.isnan(want), 0.0, np.where(np.isnan(apart), np.inf, apart))
