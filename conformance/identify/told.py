"""What an implementation answers to the batches that tell functions apart, handed over in each way that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.session import Asked as Session
from lossproof.conformance.identify.batches import FIRST, batches, handings
from lossproof.conformance.identify.families import GROUPS, Group
from lossproof.conformance.identify.formulas import Batch


def groups_of(session: Session) -> list[Group]:
    """Return the groups whose arrays the implementation takes."""
    offered = session.hello["losses"]
    return [group for group in GROUPS if any(loss in offered for loss in group.losses)]


@dataclass(frozen=True)
class Told:
    """What an implementation answered to the batches of a group, handed over in one way."""

    group: Group
    dtype: str
    kind: str
    first: Sequence[tuple[Batch, Answer]]
    fresh: Sequence[tuple[Batch, Answer]]


def tell(session: Session, group: Group, seed: int) -> list[Told]:
    """Return the answers of an implementation, for each way of handing labels over in which it answers."""
    loss = _asked_as(session, group)
    found: list[Told] = []
    for kind in handings(group.losses[0]):
        for dtype in (d for d in ("float64", "float32") if d in session.hello["dtypes"]):
            first = _answers(session, loss, dtype, batches(group.losses[0], dtype, seed, kind))
            if any(_alike(kind, first, other) for other in found):
                break  # another handing of the same labels, with the same answers
            if sum(answer.value is not None for _, answer in first) >= FIRST:
                fresh = _answers(session, loss, dtype, batches(group.losses[0], dtype, seed + 1, kind))
                found.append(Told(group, dtype, kind, first, fresh))
                break
    return found


def _asked_as(session: Session, group: Group) -> str:
    """Return the loss of a group under which the implementation is called."""
    return next(name for name in group.losses if name in session.hello["losses"])


def what_came_back(session: Session, seed: int) -> str:
    """Return what an implementation says to the first call of the first group, in words."""
    group, dtype = groups_of(session)[0], session.hello["dtypes"][0]
    loss = _asked_as(session, group)
    batch = batches(group.losses[0], dtype, seed, handings(group.losses[0])[0])[0]
    answer = session.ask(Case(loss, batch, dtype, {}, session.hello["modes"][0], 0))
    return answer.problem or answer.unsupported or "a number for some calls alone"


def _alike(kind: str, answers: Sequence[tuple[Batch, Answer]], other: Told) -> bool:
    """Whether labels that mean the same, handed over in another way, gave the same answers."""
    if kind.startswith("sign") != other.kind.startswith("sign") or len(answers) != len(other.first):
        return False
    pairs = zip((a.value for _, a in answers), (a.value for _, a in other.first), strict=True)
    return all(a is b if a is None or b is None else bool(np.array_equal(a, b, equal_nan=True)) for a, b in pairs)


def _answers(session: Session, loss: str, dtype: str, asked: Sequence[Batch]) -> list[tuple[Batch, Answer]]:
    """Return what came back; where the first calls are not answered, no more are made."""
    told: list[tuple[Batch, Answer]] = []
    for batch in asked:
        told.append((batch, session.ask(Case(loss, batch, dtype, {}, session.hello["modes"][0], 0))))
        if len(told) == 2 and all(answer.value is None for _, answer in told):
            break
    return told
