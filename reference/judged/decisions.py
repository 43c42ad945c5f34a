"""Decisions: the places where a loss jumps, or where its gradient does.

A hinge, a swap, a zero coordinate: near such a place no implementation in floating point can be held to one
outcome. What the judge asks takes each decision through `Decisions`, which keeps how far it was from going the other
way (`slack`) and the scale of the error of that distance; the judge asks which decisions were undecided at a given
precision, and asks again what the gradient is under the other outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lossproof.reference.typing import Array

Place: TypeAlias = tuple[str, tuple[int, ...]]
Overrides: TypeAlias = Mapping[Place, Any] | None


@dataclass(frozen=True)
class Decision:
    """One named decision of every row: signed slack, error scale, and the outcomes it chooses among."""

    name: str
    slack: Array
    scale: Array
    outcomes: tuple[Any, ...]


class Decisions:
    """Takes decisions as the spec says, or as `overrides` says at single places, and remembers them."""

    def __init__(self, overrides: Overrides, participates: Array):
        self.overrides = dict(overrides or {})
        self.participates = participates
        self.taken: list[Decision] = []

    def take(self, name: str, outcome: Array, slack: Array, scale: Array, outcomes: tuple[Any, ...]) -> Array:
        """Record a decision and return its outcome, an array over rows (..., or over coordinates)."""
        slack = np.array(slack)
        slack[~self.participates] = np.inf
        self.taken.append(Decision(name, slack, np.broadcast_to(scale, slack.shape), outcomes))
        return self._overridden(name, outcome)

    def pick_largest(self, name: str, values: Array, scale: Array) -> Array:
        """Return the index of the largest value along the last axis, the lowest of those that tie."""
        index = np.argmax(values, axis=-1)
        gap = np.max(values, axis=-1, keepdims=True) - values
        np.put_along_axis(gap, index[..., None], np.inf, axis=-1)  # the pick itself competes with nobody
        gap[~self.participates] = np.inf
        self.taken.append(Decision(name, gap, np.broadcast_to(scale[..., None], gap.shape), ("pick",)))
        return self._overridden(name, index)

    def _overridden(self, name: str, outcome: Array) -> Array:
        outcome = np.array(outcome)
        for (where, place), value in self.overrides.items():
            if where == name:
                outcome[place] = value
        return outcome

    def undecided(self, error: float) -> Iterator[tuple[Place, tuple[Any, ...]]]:
        """Yield each place whose slack is within `error` times its scale, with the outcomes possible there."""
        for decision in self.taken:
            with np.errstate(invalid="ignore"):
                close = np.isfinite(decision.slack) & (np.abs(decision.slack) <= error * decision.scale)
            if decision.outcomes == ("pick",):
                for row in {tuple(map(int, place[:-1])) for place in np.argwhere(close)}:
                    yield (decision.name, row), (None, *map(int, np.flatnonzero(close[row])))
            else:
                for place in np.argwhere(close):
                    yield (decision.name, tuple(map(int, place))), decision.outcomes
