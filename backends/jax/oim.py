"""OIM loss and the update of its memory (spec/oim.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, batch, constants, describe, in_dtype, in_range, real, table
from lossproof.backends.jax.distributed import AxisName, every_row, joined
from lossproof.backends.jax.products import products
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import unit_weights
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_head,
    check_label_range,
    check_unlabelled,
)


def oim_loss(
    embeddings: Input,
    labels: Input,
    lookup_table: Input,
    queue: Input,
    *,
    temperature: float | Array = 0.1,
    unlabelled: int = -1,
    mask: Input | None = None,
    weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the OIM loss of a batch.

    ``logsumexp_j(<x, w_j> / temperature) - <x, w_y> / temperature`` for each labelled row x, over the rows w of the
    table and then of the queue.

    `jax.jit` needs ``static_argnames=("unlabelled", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on; expected
            to be of unit length, and not normalised here.
        labels: integers of shape (B,), in [0, C) or `unlabelled`.
        lookup_table: one row for each identity, (C, D), same dtype, or a wider one.
        queue: rows without an identity, (Q, D), same dtype, or a wider one; Q may be 0.
        temperature: (0, inf); an array of shape () is used as it is and not checked.
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        reduction: "none", "sum" or "mean" (over the labelled rows that take part).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32. Its gradient reaches the
        embeddings alone.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it. Any other label raises
            where the labels lie in the host's memory, and makes its own term NaN elsewhere.

    Clauses OI-1 to OI-12, OI-24, CV-1 to CV-46, DD-1 to DD-19. Source: Xiao et al. (2017), eq. 3 and 4.
    """
    devices = joined(axis_name)
    temperature = real("temperature", temperature, 0, above=True)  # OI-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    own, x = batch(mask, labels, beside=(lookup_table, queue), embeddings=embeddings)
    memory = jnp.concatenate(
        [
            table("lookup_table", lookup_table, "embeddings", embeddings, x.dtype),
            table("queue", queue, "embeddings", embeddings, x.dtype, empty=True),  # OI-6, OI-12
        ]
    )
    y, known, legal = _identities(own, mask, lookup_table.shape[0], unlabelled)
    w = unit_weights(weights, known, embeddings=embeddings)  # OI-24
    known = known if w is None else known & (w != 0)

    x = jnp.where(known[:, None], x, 0)  # OI-3
    limits = np.finfo(x.dtype)
    tau = in_dtype(temperature, x.dtype)
    if isinstance(tau, float):
        tau = max(tau, float(limits.tiny))
    limit = 0.5 * (float(limits.max) / x.shape[1]) ** 0.5  # no finite input gives NaN (CV-19)
    x = jnp.clip(x / tau, -limit, limit)
    memory = stop_gradient(jnp.clip(memory, -limit, limit))  # OI-9
    logits = products(x, memory)  # OI-1, OI-2
    log_p = jax.nn.log_softmax(logits, axis=1)  # OI-5, OI-8
    terms = -jnp.take_along_axis(log_p, y[:, None], axis=1)[:, 0]
    return reduce(jnp.where(legal, terms, jnp.nan), known, reduction, w, devices=devices)  # OI-3, CV-33


def _identities(own: Input, mask: Input | None, classes: int, unlabelled: int) -> tuple[Array, Array, Array]:
    """Return labels kept within the table, who has an identity (and takes part), and whose is in the table."""
    check_unlabelled(unlabelled, classes)  # OI-11
    holds = np.iinfo(own.dtype)
    none = own == own.dtype.type(unlabelled) if holds.min <= unlabelled <= holds.max else own != own  # OI-4
    own = (np if isinstance(own, np.ndarray) else jnp).where(none, 0, own)
    y, legal = in_range(own, 0, classes - 1)
    known = ~none
    return y, known if mask is None else known & mask, legal


def update_oim_memory(
    lookup_table: Input,
    queue: Input,
    head: Input,
    embeddings: Input,
    labels: Input,
    *,
    momentum: float | Array = 0.5,
    normalise: bool = True,
    unlabelled: int = -1,
    mask: Input | None = None,
    axis_name: AxisName | None = None,
) -> tuple[Array, Array, Array]:
    """Return table, queue and head after one batch; nothing is differentiated.

    In the order of the batch, a row x of identity y moves the table, ``v_y = momentum * v_y + (1 - momentum) * x``, and
    v_y is divided by its norm; a row without an identity is written at the head of the queue, and the head goes on.

    `jax.jit` needs ``static_argnames=("normalise", "unlabelled", "axis_name")``.

    Args:
        lookup_table: one row for each identity, (C, D); float16, bfloat16, float32, or float64 where `jax_enable_x64`
            is on.
        queue: rows without an identity, (Q, D); Q may be 0.
        head: where the queue is written next, an integer array of shape (), in [0, Q).
        embeddings: rows of shape (B, D), same dtype as the tables, or a narrower one.
        labels: integers of shape (B,), in [0, C) or `unlabelled`. Another one raises where the labels lie in
            the host's memory; elsewhere its row changes nothing.
        momentum: [0, 1]; an array of shape () is used as it is and not checked.
        normalise: divide a row of the table by its norm after every visit; a row that is zero stays zero.
        unlabelled: the label of rows without an identity, outside [0, C).
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size; afterwards all devices hold the same. None: this one has all of them.

    Returns:
        The new table (C, D), the new queue (Q, D) and the new head (), in their dtypes.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Takes as many steps as the most frequent identity has rows, each for all identities at once.
    Clauses OI-13 to OI-23, DD-17. Source: Xiao et al. (2017), section 3.2.
    """
    embeddings, labels, mask = every_row(embeddings, labels, mask, axis_name)  # DD-17
    gamma = real("momentum", momentum, 0, high=1)  # OI-22
    check_bool("normalise", normalise)
    own, x = batch(mask, labels, beside=(lookup_table, queue), embeddings=embeddings)
    v = table("lookup_table", lookup_table, "embeddings", embeddings, x.dtype)
    q = table("queue", queue, "embeddings", embeddings, x.dtype, empty=True)
    check_head(*describe("head", head))  # OI-21
    if isinstance(head, np.ndarray):
        check_label_range("head", int(head), int(head), 0, max(q.shape[0] - 1, 0))
    y, known, legal = _identities(own, mask, v.shape[0], unlabelled)
    v, q, x, gamma = stop_gradient((v, q, x, in_dtype(gamma, v.dtype)))  # OI-20
    pushed = ~known if mask is None else ~known & mask

    at = jnp.asarray(head)
    if x.shape[0]:
        v = _visited(v, x, y, known & legal, (gamma, 1 - gamma), normalise)  # OI-19
    if x.shape[0] and q.shape[0]:
        q, at = _pushed(q, at, x, pushed)
    return v.astype(lookup_table.dtype), q.astype(queue.dtype), at


@partial(jax.jit, static_argnames="normalise")  # a loop that stands in no jax.jit would be compiled in every call
def _visited(
    v: Array, x: Array, y: Array, known: Array, shares: tuple[float | Array, float | Array], normalise: bool
) -> Array:
    """Return the table after the rows that are `known` visited it, one identity's in their order (OI-15)."""
    number = jnp.arange(x.shape[0])
    earlier = (y[:, None] == y[None]) & known[None] & known[:, None] & (number[:, None] > number[None])
    before = jnp.max(jnp.where(earlier, number, -1), axis=1)  # the row that visits the same identity before this one
    start = v[y]

    def visit(_: Array, after: Array) -> Array:
        """Let every row visit after the row before it; a row is right as soon as those before it are."""
        kept, taken = shares
        moved = kept * jnp.where((before < 0)[:, None], start, after[before]) + taken * x  # OI-13
        return _unit(moved) if normalise else moved  # OI-14

    after = jax.lax.fori_loop(0, jnp.max(jnp.sum(earlier, axis=1)) + 1, visit, start)
    last = jnp.full(v.shape[0], -1).at[y].max(jnp.where(known, number, -1))
    return jnp.where((last < 0)[:, None], v, after[last])  # identities without rows do not change


def _unit(rows: Array) -> Array:
    """Divide each row by its norm, in units of its largest size; a row that is zero stays zero (OI-16)."""
    largest = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
    rows = rows / jnp.where(largest < np.finfo(rows.dtype).tiny, 1, largest)
    square = jnp.sum(rows * rows, axis=1, keepdims=True)
    return rows / jnp.sqrt(jnp.where(square == 0, 1, square))


def _pushed(q: Array, head: Array, x: Array, pushed: Array) -> tuple[Array, Array]:
    """Return queue and head after the rows that are `pushed` were written one after the other (OI-17)."""
    count, size = jnp.sum(pushed), q.shape[0]
    at = head.astype(count.dtype)
    turn = (jnp.arange(size) - at) % size  # which of the rows is written here first
    newest = turn + size * ((count - 1 - turn) // size)  # and which last: OI-18
    order = jnp.argsort(~pushed, stable=True)  # their places in the batch come first
    written = x[order[jnp.clip(newest, 0, x.shape[0] - 1)]]
    queue = jnp.where((turn < count)[:, None], written, q)
    return queue, ((at + count) % size).astype(head.dtype)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class OIMLoss:
    """`oim_loss` as a pytree: `temperature` is a leaf without gradient; the memory is an argument.

    Args:
        temperature: (0, inf); an array of shape () is used as it is and not checked.
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        reduction: "none", "sum" or "mean" (over the labelled rows that take part).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import OIMLoss
        >>> loss = OIMLoss(temperature=1.0)
        >>> round(float(loss(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([0, 1]), jnp.eye(2), jnp.zeros((1, 2)))), 3)
        0.395
    """

    temperature: float | Array = 0.1
    unlabelled: int = -1
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        real("temperature", self.temperature, 0, above=True)  # OI-10
        check_unlabelled(self.unlabelled, None)  # the table is not here yet: OI-11 is checked in the call
        check_choice("reduction", self.reduction, REDUCTIONS[:3])  # CV-27

    def __call__(
        self,
        embeddings: Input,
        labels: Input,
        lookup_table: Input,
        queue: Input,
        mask: Input | None = None,
        weights: Input | None = None,
    ) -> Array:
        """Return the loss of the rows; see `oim_loss`."""
        return oim_loss(
            embeddings, labels, lookup_table, queue, mask=mask, weights=weights, **constants(self._options())
        )

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any], tuple[Any, ...]]:
        """Return the leaf and the static options."""
        return (self.temperature,), (self.unlabelled, self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any]) -> OIMLoss:
        """Rebuild without checks: what JAX puts into the leaf need not be a number."""
        loss = object.__new__(cls)
        names = ("temperature", "unlabelled", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
