"""The calls that tell functions apart: batches in which every pick, hinge and denominator shows.

The first of a group are violated, so that every hinge is open and its margin can be read off; the later ones are mixed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.identify.formulas import Batch

Arrays = dict[str, Array]
FIRST = 4  # batches that a candidate must come near to, before its numbers are found exactly
COUNT = 12
LATTICE = 11  # distances tie in this one, exactly where rows are as given

Rng = np.random.Generator


def handings(loss: str) -> tuple[str, ...]:
    """Return the ways in which labels of the group of a loss are handed over."""
    return ("int64", "bool", "float", "sign", "sign as float") if loss == "contrastive_loss" else ("",)


def batches(loss: str, dtype: str, seed: int, kind: str = "") -> list[Batch]:
    """Return the batches of the group of a loss, in the order in which they are asked."""
    found = [_OF[loss](np.random.default_rng([seed, turn]), turn) for turn in range(COUNT)]
    for batch in found if kind not in ("", "bool") else ():
        label = batch["dissimilar"].astype(np.int64)
        label = 2 * label - 1 if kind.startswith("sign") else label
        batch["dissimilar"] = label.astype(np.float64) if kind.endswith("float") else label
    return [Batch({n: rounded(a, dtype) if a.dtype.kind == "f" else a for n, a in own.items()}) for own in found]


def _triplets(rng: Rng, turn: int) -> Arrays:
    count, width = (1 if turn < FIRST else 5), int(rng.integers(2, 5))
    a = rng.normal(size=(count, width)) * (1.0, 4.0)[turn % 2]
    p = a + rng.normal(size=a.shape) * (3.0, 12.0)[turn % 2]
    n = a - 0.2 * (p - a) + rng.normal(size=a.shape) * 0.1  # near, and farther from p
    if turn in (5, 7):
        n[::2] = p[::2] + 0.3 * rng.normal(size=p[::2].shape)  # nearer to p: a swap shows
    if turn in (6, 7, 10):
        n[1::2] = a[1::2] + (p - a)[1::2] * rng.choice([0.4, 1.1, 3.0, 40.0], size=(len(n[1::2]), 1))
    if turn == 8:
        p[0], n[2] = a[0], a[2]
    if turn == 9:
        p, n = a + (p - a) * 2.0**-12, a + (n - a) * 2.0**-12
    if turn == LATTICE:
        a, p, n = (np.rint(rows) for rows in (a, p, n))
    return {"anchor": a, "positive": p, "negative": n}


def _pairs(rng: Rng, turn: int) -> Arrays:
    count, width = (2 if turn < FIRST else 7), int(rng.integers(2, 5))
    x = rng.normal(size=(count, width)) * (1.0, 4.0)[turn % 2]
    apart = rng.normal(size=x.shape) * rng.choice([0.02, 0.1, 0.5, 3.0], size=(count, 1))
    label = np.arange(count) % 2 == turn % 2
    if turn < FIRST:
        apart[label] = 0.05 * rng.normal(size=apart[label].shape)  # its hinge is open
    y = x + apart
    if turn == 8:
        y[:2] = x[:2]
    if turn == 10:
        label[:] = True
    return {"x1": x, "x2": y, "dissimilar": label}


def _batch(rng: Rng, turn: int) -> Arrays:
    count = 6 if turn < FIRST else 9
    labels = np.arange(count) // 2 if turn < FIRST else rng.permutation(np.arange(count) % 3)
    rows = rng.normal(size=(count, int(rng.integers(2, 5))))
    if turn < FIRST:
        rows = 0.3 * rows + np.where(np.arange(count)[:, None] % 2, 4.0, -1.0)  # each has its positive far away
        rows += np.arange(count)[:, None] % 3 * 0.7
    elif turn in (5, 8):
        rows = 0.4 * rows + 3.0 * rng.normal(size=(3, rows.shape[1]))[labels]  # clusters: most hinges are closed
    elif turn == 6:
        rows = 8.0 * rows
    elif turn == 9:
        rows += 30.0 * (labels == 0)[:, None]  # a class so far away that its hardest hinge is closed as well
    elif turn == LATTICE:
        rows = rng.integers(-2, 3, size=rows.shape).astype(float)
    if turn in (10, LATTICE):
        rows[np.argmax(labels != labels[0])] = rows[0]  # at a distance of 0: a floor shows
    return {"embeddings": rows, "labels": labels}


def _classes(rng: Rng, turn: int) -> Arrays:
    count, width, classes = (2 if turn < FIRST else 6), 2 + turn % 4, int(rng.integers(3, 6))
    weights = rng.normal(size=(classes, width))
    labels = rng.integers(classes, size=count)
    rows = rng.normal(size=(count, width)) + (weights[labels] if turn % 2 else 0)
    if turn in (7, 9, 10):
        rows[:2] = -weights[labels[:2]] + 0.1 * rng.normal(size=(2, width))  # beyond pi with a margin
    return {"embeddings": rows, "labels": labels, "class_weights": weights}


def _centers(rng: Rng, turn: int) -> Arrays:
    found = _classes(rng, turn)
    rows, labels, centers = found["embeddings"], found["labels"], found["class_weights"]
    if turn == 8:
        rows = centers[labels]  # a floor shows
    if turn == 10:
        rows = 1e7 * rows  # a ceiling
    return {"embeddings": rows, "labels": labels, "centers": centers}


def _logits(rng: Rng, turn: int) -> Arrays:
    count, classes = (1 if turn < FIRST else 6), int(rng.integers(2, 7))
    return {"logits": 3.0 * rng.normal(size=(count, classes)), "labels": rng.integers(classes, size=count)}


def _targets(rng: Rng, turn: int) -> Arrays:
    logits = _logits(rng, turn)["logits"]
    drawn = rng.integers(1, 8, size=logits.shape).astype(float)
    drawn[:, 0] += 2.0 ** np.ceil(np.log2(drawn.sum(axis=1))) - drawn.sum(axis=1)  # a power of two: exact shares
    return {"logits": logits, "targets": drawn / drawn.sum(axis=1, keepdims=True)}


def _memory(rng: Rng, turn: int) -> Arrays:
    count, width, classes = (2 if turn < FIRST else 6), 2 + turn % 4, int(rng.integers(3, 6))
    table, queue = (rng.normal(size=(size, width)) for size in (classes, 2 + turn % 3))
    labels = rng.integers(classes, size=count)
    if turn in (6, 9):
        labels[0] = -1
    return {"embeddings": rng.normal(size=(count, width)), "labels": labels, "lookup_table": table, "queue": queue}


def _joint(rng: Rng, turn: int) -> Arrays:
    batch = _batch(rng, turn)
    classes = int(batch["labels"].max()) + 1
    logits = 2.0 * rng.normal(size=(len(batch["labels"]), classes))
    centers = rng.normal(size=(classes, batch["embeddings"].shape[1]))
    return {"logits": logits, **batch, "centers": centers}


_OF: dict[str, Callable[[Rng, int], Arrays]] = {
    "triplet_margin_loss": _triplets,
    "contrastive_loss": _pairs,
    "batch_hard_triplet_loss": _batch,
    "arcface_loss": _classes,
    "center_loss": _centers,
    "cross_entropy_loss": _logits,
    "soft_cross_entropy_loss": _targets,
    "oim_loss": _memory,
    "joint_loss": _joint,
}
