"""The pairs of a batch in mpmath: positives, negatives and distances, typed apart from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.judge.exact.distances import distance


class Batch:
    """The anchors of a call that take part, and the rows they are compared with: the batch, or a second set."""

    def __init__(self, inputs: Mapping[str, Array], options: Mapping[str, Any], default: str):
        self.rows, self.labels = inputs["embeddings"], [int(label) for label in inputs["labels"]]
        self.size = len(self.labels)
        mask = inputs.get("mask", np.ones(self.size, bool))
        self.members = [i for i in range(self.size) if mask[i]]
        self.others, self.names, self.present = self.rows, self.labels, self.members
        self.itself = list(range(self.size))  # which of the others is the anchor
        if "candidates" in inputs:
            self.others, self.names = inputs["candidates"], [int(label) for label in inputs["candidate_labels"]]
            chosen = inputs.get("candidate_mask", np.ones(len(self.names), bool))
            self.present = [j for j in range(len(self.names)) if chosen[j]]
            self.itself = [int(j) for j in inputs.get("candidate_index", np.full(self.size, -1))]
        self.name = options.get("distance", default)
        self.length = distance({"distance": self.name})
        self.floor = mpmath.mpf(options.get("floor", 0.0))
        self.known: dict[tuple[int, int], Any] = {}

    def positives(self, a: int, *, itself: bool = False) -> list[int]:
        """Return the rows with the label of the anchor; with `itself`, the anchor too."""
        alike = [j for j in self.present if self.names[j] == self.labels[a] and j != self.itself[a]]
        return sorted([*alike, *(j for j in self.present if itself and j == self.itself[a])])

    def negatives(self, a: int) -> list[int]:
        """Return the rows with another label."""
        return [j for j in self.present if self.names[j] != self.labels[a] and j != self.itself[a]]

    def d(self, a: int, j: int) -> Any:
        """Return the distance of an anchor from one of the others."""
        if (a, j) not in self.known:
            other = self.rows[a] if j == self.itself[a] else self.others[j]
            length = self.length(self.rows[a], other)
            lowest = mpmath.sqrt(self.floor) if self.name == "euclidean" else self.floor
            self.known[a, j] = lowest if self.floor and length <= lowest else length
        return self.known[a, j]

    def unknown(self, a: int, others: list[int]) -> bool:
        """Whether a distance from the anchor is NaN."""
        return any(mpmath.isnan(self.d(a, i)) for i in others)


def zeros(*shape: int) -> Array:
    """Return an array of zeros to put terms into."""
    return np.full(shape, mpmath.mpf(0), object)
