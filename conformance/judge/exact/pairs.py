"""The pairs of a batch in mpmath: positives, negatives and distances, typed apart from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.distances import distance


class Batch:
    """The rows of a batch that take part."""

    def __init__(self, inputs: Mapping[str, Array], options: Mapping[str, Any], default: str):
        self.rows, self.labels = inputs["embeddings"], [int(label) for label in inputs["labels"]]
        self.size = len(self.labels)
        mask = inputs.get("mask", np.ones(self.size, bool))
        self.members = [i for i in range(self.size) if mask[i]]
        self.name = options.get("distance", default)
        self.floor = mpmath.mpf(options.get("floor", 0.0))
        self.known: dict[tuple[int, int], Any] = {}

    def positives(self, a: int, *, itself: bool = False) -> list[int]:
        """Return the rows with the label of the anchor."""
        return [i for i in self.members if self.labels[i] == self.labels[a] and (itself or i != a)]

    def negatives(self, a: int) -> list[int]:
        """Return the rows with another label."""
        return [i for i in self.members if self.labels[i] != self.labels[a]]

    def d(self, i: int, j: int) -> Any:
        """Return the distance of two rows."""
        if (i, j) not in self.known:
            length = distance({"distance": self.name})(self.rows[i], self.rows[j])
            lowest = mpmath.sqrt(self.floor) if self.name == "euclidean" else self.floor
            self.known[i, j] = lowest if self.floor and length <= lowest else length
        return self.known[i, j]

    def unknown(self, a: int, others: list[int]) -> bool:
        """Whether a distance from the anchor is NaN."""
        return any(mpmath.isnan(self.d(a, i)) for i in others)


def zeros(*shape: int) -> Array:
    """Return an array of zeros to put terms into."""
    return np.full(shape, mpmath.mpf(0), object)
