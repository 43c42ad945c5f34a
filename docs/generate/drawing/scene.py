"""What a drawing holds, in the coordinates of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite

At = tuple[float, ...]  # a row of one or two features


@dataclass(frozen=True)
class Point:
    """A row: its name, its place, the tone of its class; faint if it has no part in the term, hollow in a table."""

    name: str
    at: At
    tone: int = 0
    faint: bool = False
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """A pair that is compared: near, an anchor and its positive; far, its negative; or a ray from the origin."""

    start: At
    end: At
    kind: str
    says: str = ""


@dataclass(frozen=True)
class Scene:
    """One term, or one batch: its title, its rows and pairs, and the centre and radius of what a margin reaches."""

    title: str
    points: tuple[Point, ...]
    lines: tuple[Line, ...] = ()
    reach: tuple[At, float] | None = None


@dataclass(frozen=True)
class Drawing:
    """Scenes with one scale, the words below them, and why there are none where there are none."""

    scenes: tuple[Scene, ...] = ()
    legend: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def width(self) -> int:
        """Return the number of features of a row."""
        return len(self.scenes[0].points[0].at)


def number(value: float) -> str:
    """Return a number as it stands in a drawing."""
    return f"{value:.5g}".replace("-", "−")


def finite(row: Iterable[float]) -> bool:
    """Whether a row has a place."""
    return all(isfinite(value) for value in row)


def subscript(index: int) -> str:
    """Return an index as a subscript."""
    return str(index).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
