"""Times: every candidate of a row once a round, in a shuffled order, so that what else happens falls on all."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.rows import Step

WARM_UP = 3
LONG = 0.5  # seconds of a step from which fewer rounds are enough


@dataclass(frozen=True)
class Times:
    """The seconds of one candidate, round by round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """Return the median."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Return the lower and the upper quartile."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high

    def ratio(self, other: Times) -> float:
        """Return the median of the ratios round by round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def measure(steps: Mapping[str, Step], rounds: int, seed: int = 0) -> dict[str, Times]:
    """Return the times of each step."""
    order, names = random.Random(seed), list(steps)
    for name in names * (WARM_UP - 1 if rounds > 1 else 0):  # what compiles does so here
        steps[name]()
    slowest = max(_once(steps[name]) for name in names)
    count = rounds if slowest < LONG else max(3, rounds // 6)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(min(count, rounds)):
        order.shuffle(names)
        for name in names:
            seconds[name].append(_once(steps[name]))
    return {name: Times(seconds[name]) for name in steps}


def _once(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
