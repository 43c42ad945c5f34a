"""CosFace loss (spec/cosface.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, batch, constants, in_dtype, in_range, real, table
from lossproof.backends.jax.class_weights import unit_rows
from lossproof.backends.jax.cross_entropy import cross_entropy
from lossproof.backends.jax.distributed import AxisName, alone, joined
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice


def cosface_loss(
    embeddings: Input,
    labels: Input,
    class_weights: Input,
    *,
    scale: float | Array = 64.0,
    margin: float | Array = 0.35,
    mask: Input | None = None,
    weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the CosFace loss of rows.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * (cos(theta_y) - margin)`` for the label y, where theta_j
    is the angle between the embedding and class weight j.

    `jax.jit` needs ``static_argnames=("reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32, or float64 where
            `jax_enable_x64` is on.
        labels: integers of shape (B,) in [0, C). Others: an error where the labels lie in the host's memory,
            else the term is NaN.
        class_weights: rows of shape (C, D), of any length; same dtype, or a wider one.
        scale: [0, inf); an array of shape () is used as it is and not checked.
        margin: in the unit of the cosine, [0, inf); an array of shape () is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a zero row has cosine 0 and gives and gets no gradient. Clauses CF-1 to CF-10, CE-1, CE-3, CE-4,
    CV-1 to CV-46, DD-1 to DD-19. Source: Wang et al. (2018), eq. 4.
    """
    devices = joined(axis_name)
    scale, margin = real("scale", scale, 0), real("margin", margin, 0)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    of_units = unit_weights(weights, mask, embeddings=embeddings)
    mask = weighing(mask, of_units)
    labels, x = batch(mask, labels, beside=(class_weights,), embeddings=embeddings)
    w = table("class_weights", class_weights, "embeddings", embeddings, x.dtype)
    kept, legal = in_range(labels, 0, w.shape[0] - 1)
    scale, margin = in_dtype(scale, x.dtype), in_dtype(margin, x.dtype)

    cosine = jnp.matmul(unit_rows(x), unit_rows(w).T, precision=jax.lax.Precision.HIGHEST)  # CF-2, CF-4, CV-20
    own = kept[:, None] == jnp.arange(w.shape[0], dtype=kept.dtype)[None]
    logits = scale * jnp.where(own, cosine - margin, cosine)  # CF-1, CF-3
    terms = jnp.where(legal, cross_entropy(logits, kept), jnp.nan)  # CV-33
    return reduce(terms, mask, reduction, of_units, devices=devices)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class CosFaceLoss:
    """`cosface_loss` as a pytree: `scale` and `margin` are leaves without gradient, `reduction` is static.

    The class weights are an argument of the call: they belong to the parameters that are trained.

    Args:
        scale: [0, inf); an array of shape () is used as it is and not checked.
        margin: in the unit of the cosine, [0, inf); an array of shape () is used as it is and not checked.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import CosFaceLoss
        >>> loss = CosFaceLoss(scale=4.0)
        >>> round(float(loss(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([0, 1]), jnp.eye(2))), 3)
        0.072
    """

    scale: float | Array = 64.0
    margin: float | Array = 0.35
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        row, labels = np.zeros((1, 1), np.float32), np.zeros(1, np.int32)
        jax.eval_shape(partial(cosface_loss, **alone(self._options())), row, labels, row)  # refuses illegal ones

    def __call__(
        self,
        embeddings: Input,
        labels: Input,
        class_weights: Input,
        mask: Input | None = None,
        weights: Input | None = None,
    ) -> Array:
        """Return the loss of the rows; see `cosface_loss`."""
        return cosface_loss(embeddings, labels, class_weights, mask=mask, weights=weights, **constants(self._options()))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.scale, self.margin), (self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> CosFaceLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("scale", "margin", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
