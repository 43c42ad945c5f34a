"""One name, many functions: what "semi-hard triplet loss, margin 0.2" is in public libraries, on one batch.

    python examples/one_name.py                  the formulas, typed anew; numpy and lossproof are all it needs
    python examples/one_name.py --libraries      beside them the libraries themselves, those that are installed

The batch is nine rows of unit length with three labels, `numpy.random.RandomState(0)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from lossproof.reference import semi_hard_triplet_loss

MARGIN = 0.2
ROWS = np.random.RandomState(0).randn(9, 4)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
SAME = LABELS[:, None] == LABELS
POSITIVE, NEGATIVE = SAME & ~np.eye(len(LABELS), dtype=bool), ~SAME
EUCLIDEAN = np.linalg.norm(ROWS[:, None] - ROWS, axis=-1)


def ours(distance: str) -> float:
    """Return the mean over positive pairs; the negative is the nearest beyond the positive, else the farthest."""
    return float(semi_hard_triplet_loss(ROWS, LABELS, margin=MARGIN, distance=distance))


def mined(within: Callable[[float, float], bool]) -> float:
    """Return the mean of the positive hinges over all triplets that a margin test keeps (no fallback)."""
    d, found = EUCLIDEAN, []
    for a, p in np.argwhere(POSITIVE):
        found += [d[a, p] - d[a, n] + MARGIN for n in np.flatnonzero(NEGATIVE[a]) if within(d[a, p], d[a, n])]
    kept = [hinge for hinge in found if hinge > 0]
    return sum(kept) / len(kept) if kept else 0.0


def easy_positive() -> float:
    """Return the mean of the positive hinges of each anchor's nearest positive and the nearest negative beyond it."""
    d, found = EUCLIDEAN, []
    for a in range(len(LABELS)):
        near = d[a][POSITIVE[a]].min()
        beyond = d[a][NEGATIVE[a] & (d[a] > near)]
        found += [near - beyond.min() + MARGIN] if len(beyond) else []
    kept = [hinge for hinge in found if hinge > 0]
    return sum(kept) / len(kept) if kept else 0.0


def hardest_positive(d: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Return the mean over anchors: the farthest positive, and the nearest negative beyond it, else the farthest."""
    terms = []
    for a in range(len(LABELS)):
        far = d[a][POSITIVE[a]].max()
        beyond = d[a][NEGATIVE[a] & (d[a] > far)]
        terms.append(max(far - (beyond.min() if len(beyond) else d[a][NEGATIVE[a]].max()) + MARGIN, 0.0))
    return float(np.mean(terms))


FORMULAS: dict[str, Callable[[], float]] = {
    "tf.contrib: squared distances": lambda: ours("squared_euclidean"),
    "TensorFlow Addons, sentence-transformers: distances": lambda: ours("euclidean"),
    "pytorch-metric-learning, TripletMarginMiner('semihard')": lambda: mined(lambda p, n: 0 < n - p <= MARGIN),
    "pytorch-metric-learning, BatchEasyHardMiner()": easy_positive,
    "TensorFlow Similarity, hardest positive, distances": lambda: hardest_positive(EUCLIDEAN),
    "TensorFlow Similarity, its default: cosine": lambda: hardest_positive(1.0 - ROWS @ ROWS.T),
}


def show(formulas: dict[str, Callable[[], float]], libraries: str, *batch: Any) -> None:
    """Print one line a function, and the range; with --libraries what those of a module say of the batch."""
    values = {name: formula() for name, formula in formulas.items()}
    for name, value in values.items():
        print(f"{value:.6f}  {name}")
    print(f"from {min(values.values()):.3f} to {max(values.values()):.3f}")
    if "--libraries" in sys.argv:
        for name, said in import_module(libraries).libraries(*batch).items():
            print(f"{said['value']:.6f}  itself: {name}")


if __name__ == "__main__":
    show(FORMULAS, "one_name_libraries", ROWS, LABELS, MARGIN)
