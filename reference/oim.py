"""OIM loss and the update of its memory (spec/oim.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.inputs import as_batch, as_rows, as_weights, described, weighing
from lossproof.reference.terms import Terms, differentiable, times
from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_head,
    check_label_range,
    check_real,
    check_table,
    check_unlabelled,
)


@differentiable
def oim_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    lookup_table: ArrayLike,
    queue: ArrayLike,
    *,
    temperature: float = 0.1,
    unlabelled: int = -1,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> Oim:
    """Return the OIM loss of a batch, in float64.

    ``logsumexp_j(<x, w_j> / temperature) - <x, w_y> / temperature`` for each labelled row x, over the rows w of the
    table and then of the queue.

    Args:
        embeddings: rows of shape (B, D), any float dtype; expected to be of unit length, and not normalised here.
        labels: integers of shape (B,), in [0, C) or `unlabelled`.
        lookup_table: one row for each identity, (C, D), of the dtype of the embeddings or a wider one.
        queue: rows without an identity, (Q, D), likewise; Q may be 0.
        temperature: (0, inf).
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        reduction: "none", "sum" or "mean" (over the labelled rows that take part).
        cotangent: if given, of the shape of the loss: return the gradient too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input; that of the memory is 0.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses OI-1 to OI-12, OI-24, CV-1 to CV-46. Source: Xiao et al. (2017), eq. 3 and 4.
    """
    check_real("temperature", temperature, 0, above=True)  # OI-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    y, known, _, x, table, rows = _batch_of(embeddings, labels, lookup_table, queue, unlabelled, mask)
    w = as_weights(weights, known, embeddings=embeddings)  # that of an unlabelled row is not looked at, OI-24
    known = np.asarray(weighing(w, known))
    x = np.where(known[:, None], x, 0)  # OI-3: what an unlabelled row holds is not looked at
    memory, tau = np.concatenate([table, rows]), float(temperature)

    z = np.sum(x[:, None, :] * memory, axis=-1) / tau  # OI-1, OI-2
    largest = np.max(z, axis=1, keepdims=True)
    power = np.exp(z - largest)  # OI-5
    total = np.sum(power, axis=1, keepdims=True)
    terms = np.log(total[:, 0]) + largest[:, 0] - np.take_along_axis(z, y[:, None], axis=1)[:, 0]
    slope = (power / total @ memory - table[y]) / tau  # OI-8
    return Oim(terms, known, reduction, slope, x, memory, tau, np.shape(lookup_table), np.shape(queue), unit_weights=w)


@dataclass(frozen=True)
class Oim(Terms):
    """The terms of the labelled rows."""

    slope: Array  # (B, D), d term / d row
    rows: Array
    memory: Array  # the table, then the queue
    temperature: float
    of_table: tuple[int, ...]
    of_queue: tuple[int, ...]

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Send each row its slope, and the memory nothing: OI-9."""
        constant = {"lookup_table": np.zeros(self.of_table), "queue": np.zeros(self.of_queue)}
        return {"embeddings": times(w[:, None], self.slope), **constant}


def update_oim_memory(
    lookup_table: ArrayLike,
    queue: ArrayLike,
    head: ArrayLike,
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    momentum: float = 0.5,
    normalise: bool = True,
    unlabelled: int = -1,
    mask: ArrayLike | None = None,
) -> tuple[Array, Array, Array]:
    """Return table, queue and head after one batch, in float64.

    In the order of the batch, a row x of identity y moves the table, ``v_y = momentum * v_y + (1 - momentum) * x``, and
    v_y is divided by its norm; a row without an identity is written at the head of the queue, and the head goes on.

    Args:
        lookup_table: one row for each identity, (C, D), the dtype of the embeddings or a wider one.
        queue: rows without an identity, (Q, D), likewise; Q may be 0.
        head: where the queue is written next, an integer in [0, Q).
        embeddings: rows of shape (B, D), any float dtype.
        labels: integers of shape (B,), in [0, C) or `unlabelled`.
        momentum: [0, 1].
        normalise: divide a row of the table by its norm after every visit; a row that is zero stays zero.
        unlabelled: the label of rows without an identity, outside [0, C).
        mask: booleans of shape (B,); True takes part.

    Returns:
        The new table (C, D), the new queue (Q, D), and the new head ().

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses OI-13 to OI-23. Source: Xiao et al. (2017), section 3.2.
    """
    check_real("momentum", momentum, 0, high=1)  # OI-22
    check_bool("normalise", normalise)
    y, known, unknown, x, table, rows = _batch_of(embeddings, labels, lookup_table, queue, unlabelled, mask)
    place = np.asarray(head)
    check_head(place.shape, place.dtype.name)  # OI-21
    check_label_range("head", int(place), int(place), 0, max(len(rows) - 1, 0))
    gamma, at = float(momentum), int(place)
    table, rows = table.copy(), rows.copy()
    with np.errstate(all="ignore"):
        for i in range(len(x)):  # OI-15; a row that takes no part is in neither branch, OI-19
            if known[i]:
                v = gamma * table[y[i]] + (1 - gamma) * x[i]  # OI-13
                table[y[i]] = _unit(v) if normalise else v  # OI-14
            elif unknown[i] and len(rows):
                rows[at] = x[i]  # OI-17
                at = (at + 1) % len(rows)  # OI-18
    return table, rows, np.asarray(at, place.dtype)


def _unit(row: Array) -> Array:
    """Divide a row by its norm, in units of its largest size; a row that is zero stays zero (OI-16)."""
    largest = np.max(np.abs(row))
    if largest == 0:
        return row
    row = row / largest
    return np.asarray(row / np.sqrt(np.sum(row * row)))


def _batch_of(
    embeddings: ArrayLike,
    labels: ArrayLike,
    lookup_table: ArrayLike,
    queue: ArrayLike,
    unlabelled: int,
    mask: ArrayLike | None,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Check the batch and the memory; return labels, who is an identity, who is none, rows, table and queue."""
    own, takes_part, x = as_batch(labels, mask, embeddings=embeddings)  # CV-31, CV-34
    given = described(embeddings=embeddings, lookup_table=lookup_table, queue=queue)
    shape, dtype = given["embeddings"]
    check_table("lookup_table", *given["lookup_table"], "embeddings", shape[1], dtype)
    check_table("queue", *given["queue"], "embeddings", shape[1], dtype, empty=True)  # OI-6, OI-12
    classes = given["lookup_table"][0][0]
    check_unlabelled(unlabelled, classes)  # OI-11
    known = takes_part & (own != unlabelled)  # OI-4
    own = np.where(known, own, 0)
    if own.size:
        check_label_range("labels", int(own.min()), int(own.max()), 0, classes - 1)  # CV-33
    table, rows = as_rows(lookup_table=lookup_table, queue=queue)
    return own, known, takes_part & ~known, x, table, rows
