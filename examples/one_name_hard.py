"""One name, many functions: what "batch-hard triplet loss, margin 0.3" is in public libraries, on one batch.

    python examples/one_name_hard.py                  the formulas, typed anew; numpy and lossproof are all it needs
    python examples/one_name_hard.py --libraries      beside them the libraries themselves, those that are installed

The batch is nine rows of unit length near the center of their label, and the last two are alone with theirs;
`numpy.random.RandomState(0)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lossproof.reference import batch_hard_triplet_loss

MARGIN = 0.3
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 3])
RANDOM = np.random.RandomState(0)
ROWS = RANDOM.randn(4, 4)[LABELS] + 0.25 * RANDOM.randn(9, 4)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)


def ours(reduction: str = "mean", **options: Any) -> float:
    """Return a reduction of max(hardest positive - hardest negative + margin, 0) over the anchors that have both."""
    return float(batch_hard_triplet_loss(ROWS, LABELS, margin=MARGIN, reduction=reduction, **options))


def zero_where_none(distance: str) -> float:
    """Return the mean over all anchors, where the hardest positive of one that has none is at distance 0."""
    return ours(distance=distance, include_self=True)


FORMULAS: dict[str, Callable[[], float]] = {
    "the mean over the anchors that have a positive": ours,
    "the mean over the anchors whose term is positive": lambda: ours("mean_nonzero"),
    "the mean over all anchors, a missing positive at distance 0": lambda: zero_where_none("euclidean"),
    "the mean over all anchors, of squared distances": lambda: zero_where_none("squared_euclidean"),
    "the mean over all anchors, of cosine distances": lambda: zero_where_none("cosine"),
}


if __name__ == "__main__":
    from one_name import show

    show(FORMULAS, "one_name_hard_libraries", ROWS, LABELS, MARGIN)
