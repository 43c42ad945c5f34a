"""A batch that is spread over devices: rows gathered with their gradient, and totals (spec/distributed.md).

Inside of `jax.shard_map`, `jax.pmap` or `jax.vmap` each device sees a block of the rows, and the axis has a name. A
loss that knows the name returns the share of its device. Blocks are of one size on all devices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from lossproof.backends.jax.arrays import Input, batch, describe, refuse_truncation
from lossproof.backends.jax.candidates import Sets
from lossproof.spec.arguments import check_same, refuse_type

AxisName: TypeAlias = str | tuple[str, ...]


@dataclass(frozen=True)
class Devices:
    """The axes along which a batch is spread, and the number of their devices."""

    axes: tuple[str, ...]
    world: int

    def total(self, value: Array) -> Array:
        """Return the sum of a number over the devices, without gradient: a denominator (DD-3)."""
        return _summed(value, self.axes)


def joined(axis_name: AxisName | None, candidates: Input | None = None) -> Devices | None:
    """Return the devices of an axis, or None where this one is alone (DD-9); beside them there is no second set."""
    if axis_name is None:
        return None
    axes, world = _bound(axis_name)
    if candidates is not None:
        raise ValueError("candidates must be left out with axis_name, whose rows are the candidates")  # DD-18
    return None if world == 1 else Devices(axes, world)


def alone(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a pytree, which are checked where no axis is bound, without the name of theirs."""
    if options["axis_name"] is not None:
        _names(options["axis_name"])
    return {name: value for name, value in options.items() if name != "axis_name"}


def over(devices: Devices | None, value: Array) -> Array:
    """Return what a mean divides by: that of all devices, where there are some."""
    return value if devices is None else devices.total(value)


def union(sets: Sets, devices: Devices | None, wire: Any) -> Sets:
    """Return the same anchors beside the rows of all devices, as a second set in which each is its own candidate.

    Rows travel in the dtype `wire`, in which they were given; labels and masks travel exactly, in one exchange.
    """
    count = sets.rows.shape[0]
    if devices is None or count == 0:  # blocks are of one size, so that no device has a row: DD-7
        return sets
    labels, takes_part = _every_label(sets.labels, sets.takes_part, partial(_in_order, axes=devices.axes))
    rows = _gathered(sets.rows, devices.axes, np.dtype(wire))
    named = lax.axis_index(devices.axes) * count + jnp.arange(count)  # DD-12
    return replace(
        sets, candidates=rows, candidate_labels=labels, candidates_take_part=takes_part,
        named=named.astype(jnp.int32), second=True, count=count * devices.world,
    )  # fmt: skip


def every_row(
    embeddings: Input, labels: Input, mask: Input | None, axis_name: AxisName | None
) -> tuple[Input, Input, Input | None]:
    """Return the rows, labels and masks of all devices, without gradient, as they were given: DD-17."""
    if axis_name is None:
        return embeddings, labels, mask
    axes, world = _bound(axis_name)
    batch(mask, labels, embeddings=embeddings)
    alike = partial(_in_order_alike, axes=axes, world=world)
    found, takes_part = _every_label(labels, mask, alike)
    return alike(lax.stop_gradient(jnp.asarray(embeddings))), found, takes_part


def _bound(axis_name: AxisName) -> tuple[tuple[str, ...], int]:
    """Return the names of axes and the number of their devices, which is known when the program is traced."""
    axes = _names(axis_name)
    try:
        return axes, int(lax.psum(1, axes))  # type: ignore[no-untyped-call]
    except NameError:
        expectation = "name an axis that jax.shard_map, jax.pmap or jax.vmap has bound"
        raise ValueError(f"axis_name must {expectation}, got {axis_name!r}") from None  # DD-18


def _names(axis_name: AxisName) -> tuple[str, ...]:
    axes = (axis_name,) if isinstance(axis_name, str) else axis_name
    if not isinstance(axes, tuple) or not all(isinstance(axis, str) for axis in axes):
        refuse_type("axis_name", "be the name of an axis or a tuple of names", axis_name)
    return axes


def _every_label(labels: Input, mask: Input | None, gather: Any) -> tuple[Array, Array | None]:
    """Return labels and masks of all devices: integers, which travel together and as they are (DD-13)."""
    known = jnp.asarray(labels)
    if mask is None:
        return gather(known), None
    pairs = gather(jnp.stack([known, jnp.asarray(mask).astype(known.dtype)], 1))
    return pairs[:, 0], pairs[:, 1] != 0


def _in_order(block: Array, axes: tuple[str, ...]) -> Array:
    """Return the blocks of all devices after one another, in the order of `jax.lax.axis_index`.

    One axis at a time: as much travels, and `jax.vmap` knows no other way.
    """
    for axis in reversed(axes):
        block = lax.all_gather(block, axis, tiled=True)
    return block


def _in_order_alike(block: Array, axes: tuple[str, ...], world: int) -> Array:
    """Return the same as a sum of blocks in their places: in its type, too, it is alike on all devices.

    So it may leave `jax.shard_map` as one array, where what was gathered may not.
    """
    places = jnp.zeros((world, *block.shape), block.dtype)
    placed = lax.dynamic_update_index_in_dim(places, block, lax.axis_index(axes), 0)
    every: Array = lax.psum(placed, axes)  # type: ignore[no-untyped-call]
    return every.reshape(world * block.shape[0], *block.shape[1:])


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _gathered(rows: Array, axes: tuple[str, ...], wire: Any) -> Array:
    """Return the rows of all devices, which travel in a dtype that holds them.

    Their derivative travels in the dtype of the rows: its transpose adds up, for each row, what all devices send to it
    (DD-4, DD-19), and it has derivatives in turn (DD-16).
    """
    return _in_order(rows.astype(wire), axes).astype(rows.dtype)


@_gathered.defjvp
def _gathered_jvp(
    axes: tuple[str, ...], wire: Any, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (rows,), (tangent,) = primals, tangents
    return _gathered(rows, axes, wire), _in_order(tangent, axes)


def _summed(value: Array, axes: tuple[str, ...]) -> Array:
    total: Array = lax.psum(lax.stop_gradient(value), axes)  # type: ignore[no-untyped-call]
    return total


# for losses of one's own


def gather_rows(rows: Input, axis_name: AxisName) -> Array:
    """Return the rows of all devices along an axis, in their order, with the gradient of one device (DD-4).

    Args:
        rows: rows of shape (n, ...), as many on every device; float16, bfloat16, float32, or float64 where
            `jax_enable_x64` is on.
        axis_name: the axis, or a tuple of them, that `jax.shard_map`, `jax.pmap` or `jax.vmap` has bound.

    Returns:
        The rows (N, ...) in their dtype. The derivative adds up, in float32 or wider, what every device sends to a
        row, so that a loss that each device takes of its *own* terms among them has the gradient of one device.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    The gradient is that of the sum of the devices' losses. It may be differentiated any number of times.
    """
    dtype = describe("rows", rows)[1]
    check_same({"rows": describe("rows", rows)})
    refuse_truncation("rows", dtype)
    axes, _ = _bound(axis_name)
    held = jnp.asarray(rows)
    return _gathered(held.astype(jnp.promote_types(held.dtype, jnp.float32)), axes, held.dtype).astype(held.dtype)


def total_loss(share: Array, axis_name: AxisName) -> Array:
    """Return the loss of the union from the shares of all devices, without gradient: the number to log (DD-15).

    Args:
        share: what a loss of this package returned for a scalar reduction, of shape ().
        axis_name: the axis that the loss was given.

    Returns:
        The loss, the same on every device.

    Raises:
        TypeError, ValueError: the axis is not what is described here.
    """
    axes, _ = _bound(axis_name)
    return _summed(jnp.asarray(share), axes)
