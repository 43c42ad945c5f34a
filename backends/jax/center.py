"""Center loss and the update of the centers (spec/center.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, batch, constants, in_dtype, in_range, real, rows_of, table
from lossproof.backends.jax.distances import quarter
from lossproof.backends.jax.distributed import AxisName, alone, every_row, joined
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_real


def center_loss(
    embeddings: Input,
    labels: Input,
    centers: Input,
    *,
    factor: float | Array = 0.5,
    floor: float = 0.0,
    ceiling: float = inf,
    mask: Input | None = None,
    weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the center loss of a batch.

    ``factor * min(max(|x - c_y|^2, floor), ceiling)`` for each row x with label y.

    `jax.jit` needs ``static_argnames=("floor", "ceiling", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        labels: integers of shape (B,), in [0, C).
        centers: one row for each class, (C, D), same dtype as the embeddings, or a wider one.
        factor: [0, inf); 0.5 in the paper; an array of shape () is used as it is and not checked.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        reduction: "none", "sum" or "mean" (over the rows that take part).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it. A label outside
            [0, C) raises where the labels lie in the host's memory, and makes its own term NaN elsewhere.

    At or below the floor, and at or above the ceiling, the gradient is 0.
    Clauses CN-1 to CN-10, CV-1 to CV-46, DD-1 to DD-19. Source: Wen et al. (2016), eq. 2.
    """
    devices = joined(axis_name)
    factor = real("factor", factor, 0)
    check_real("floor", floor, 0)  # CV-28
    check_real("ceiling", ceiling, float(floor), finite=False)  # CN-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    mask = weighing(mask, w)
    own, x = batch(mask, labels, beside=(centers,), embeddings=embeddings)
    c = table("centers", centers, "embeddings", embeddings, x.dtype)
    y, legal = in_range(own, 0, c.shape[0] - 1)
    factor = in_dtype(factor, x.dtype)

    met = legal if mask is None else legal & mask
    t = jnp.where(met[:, None], quarter(x, rows_of(c, y, x)), 0)  # CN-3
    most = float(np.finfo(t.dtype).max) / 4
    low, high = min(float(floor), most), jnp.minimum(min(float(ceiling), most), most / jnp.maximum(factor, 1))  # CV-19
    square = 16 * jnp.sum(t * t, axis=-1)
    if low:
        square = jnp.where(square <= low, low, square)  # CN-2, CN-9
    square = jnp.where(square >= high, high, square)
    terms = jnp.where(legal, factor * square, jnp.nan)  # CN-1, CV-33
    return reduce(terms, mask, reduction, w, devices=devices)


def update_centers(
    centers: Input,
    embeddings: Input,
    labels: Input,
    *,
    alpha: float | Array = 0.5,
    mask: Input | None = None,
    axis_name: AxisName | None = None,
) -> Array:
    """Return the centers after one batch; nothing is differentiated.

    ``c_j + alpha * sum(x_i - c_j) / (1 + n_j)`` over the n_j rows with label j; a center without rows is unchanged.

    Args:
        centers: one row for each class, (C, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        embeddings: rows of shape (B, D), same dtype, or a narrower one.
        labels: integers of shape (B,), in [0, C). Another one raises where the labels lie in the host's
            memory; elsewhere its row moves nothing.
        alpha: [0, 1]; an array of shape () is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size; afterwards all devices hold the same. None: this one has all of them.

    Returns:
        The new centers, (C, D), in their dtype.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses CN-11 to CN-16, DD-17. Source: Wen et al. (2016), eq. 4.
    """
    embeddings, labels, mask = every_row(embeddings, labels, mask, axis_name)  # DD-17
    alpha = real("alpha", alpha, 0, high=1)  # CN-16
    own, x = batch(mask, labels, beside=(centers,), embeddings=embeddings)
    c = table("centers", centers, "embeddings", embeddings, x.dtype)
    y, legal = in_range(own, 0, c.shape[0] - 1)
    alpha = in_dtype(alpha, c.dtype)

    met = legal if mask is None else legal & mask  # CN-13
    rows = jnp.zeros(c.shape[0], c.dtype).at[y].add(met.astype(c.dtype))
    largest = float(np.finfo(c.dtype).max)
    steps = jnp.clip(jnp.where(met[:, None], x - rows_of(c, y, x), 0), -largest, largest) / (1 + rows)[y][:, None]
    move = jnp.zeros_like(c).at[y].add(steps)
    moved = jnp.where((rows > 0)[:, None], c + alpha * move, c)  # CN-11, CN-12
    return stop_gradient(moved.astype(centers.dtype))  # CN-14


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class CenterLoss:
    """`center_loss` as a pytree: `factor` is a leaf without gradient; the centers are an argument.

    Args:
        factor: [0, inf); 0.5 in the paper; an array of shape () is used as it is and not checked.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        reduction: "none", "sum" or "mean" (over the rows that take part).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import CenterLoss
        >>> loss = CenterLoss()
        >>> round(float(loss(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([0, 1]), jnp.eye(2))), 3)
        0.25
    """

    factor: float | Array = 0.5
    floor: float = 0.0
    ceiling: float = inf
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        row, label = np.zeros((1, 1), np.float32), np.zeros(1, np.int32)
        jax.eval_shape(partial(center_loss, **alone(self._options())), row, label, row)  # refuses illegal options

    def __call__(
        self, embeddings: Input, labels: Input, centers: Input, mask: Input | None = None, weights: Input | None = None
    ) -> Array:
        """Return the loss of the rows; see `center_loss`."""
        return center_loss(embeddings, labels, centers, mask=mask, weights=weights, **constants(self._options()))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any], tuple[Any, ...]]:
        """Return the leaf and the static options."""
        return (self.factor,), (self.floor, self.ceiling, self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any]) -> CenterLoss:
        """Rebuild without checks: what JAX puts into the leaf need not be a number."""
        loss = object.__new__(cls)
        names = ("factor", "floor", "ceiling", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
