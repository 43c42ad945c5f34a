"""A row of the table: one piece of work, what does it, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

OURS = "lossproof"
MATRIX = "the distance matrix alone"
Step = Callable[[], object]  # one forward and backward pass


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        loss: the name of the loss.
        where: the framework, and how it is called.
        size: rows × features, or rows / rows of each identity × features.
        steps: name -> a function that makes the step; the first is what the ratio refers to.
        aim: the largest ratio of our time to that of the first; None where there is no aim.
        rows: how many rows there are, for plots of growth.
        memory: whether the peak memory is measured, too.
    """

    loss: str
    where: str
    size: str
    steps: Mapping[str, Callable[[], Step]]
    aim: float | None = None
    rows: int = 0
    memory: bool = False

    @property
    def name(self) -> str:
        """Return the name by which a row is asked for."""
        size = self.size.replace(" × ", "x").replace(" / ", "of")
        return f"{self.loss}/{self.where}/{size}".replace(" ", "-")


def chosen(rows: Iterable[Row], patterns: Iterable[str]) -> list[Row]:
    """Return the rows whose names contain one of the patterns; all of them without any."""
    wanted = list(patterns)
    return [row for row in rows if not wanted or any(pattern in row.name for pattern in wanted)]
