"""A batch over many processes (spec/distributed.md): what each of them returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lossproof.reference.terms import at
from lossproof.reference.typing import Array


def shares(loss: Callable[..., Any], split: Sequence[int], **call: Any) -> list[Array]:
    """Return what each process returns of a loss whose batch is spread over processes, in order of rank.

    Args:
        loss: a loss of this package, for instance ``batch_hard_triplet_loss``.
        split: the number of rows of each process, [0, B]; they add up to B.
        call: the arguments of the loss, with the rows of all processes in order of rank.

    Returns:
        The terms of the rows of each process with "none" (DD-2), else its share (DD-3). The gradient that a process
        receives is the rows of its own in that of the loss itself (DD-4), so there is no function for it.

    Raises:
        TypeError, ValueError: an argument is not what the loss says, or the split is not that of the rows.

    Clauses DD-1 to DD-3, DD-7.

    Example:
        >>> from lossproof.reference import center_loss, shares
        >>> call = {"embeddings": [[1.0], [3.0]], "labels": [0, 0], "centers": [[0.0]]}
        >>> [float(share) for share in shares(center_loss, [1, 1], **call)]
        [0.25, 2.25]
    """
    sizes = [int(size) for size in split]
    found = at(loss, **call)
    rows = found.by_row()
    if min(sizes, default=0) < 0 or sum(sizes) != len(rows):
        raise ValueError(f"split must be sizes of processes that add up to {len(rows)} rows, got {list(split)}")
    own = np.split(rows, np.cumsum(sizes)[:-1])
    return own if found.value().ndim else [np.asarray(np.sum(part)) for part in own]
