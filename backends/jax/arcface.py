"""ArcFace loss (spec/arcface.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import (
    Input,
    batch,
    constants,
    describe,
    in_dtype,
    in_range,
    real,
    rows,
    rows_of,
    table,
)
from lossproof.backends.jax.class_weights import unit_rows
from lossproof.backends.jax.cross_entropy import cross_entropy
from lossproof.backends.jax.distributed import AxisName, alone, joined
from lossproof.backends.jax.products import products
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_batch, check_choice

BEYOND_PI = ("keep", "linear", "continuous")


def arcface_loss(
    embeddings: Input,
    labels: Input,
    class_weights: Input,
    *,
    scale: float | Array = 64.0,
    margin: float | Array = 0.5,
    beyond_pi: str = "keep",
    mask: Input | None = None,
    weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the ArcFace loss of rows.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * cos(theta_y + margin)`` for the label y, where
    theta_j is the angle between the embedding and class weight j.

    `jax.jit` needs ``static_argnames=("beyond_pi", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32, or float64 where
            `jax_enable_x64` is on.
        labels: integers of shape (B,) in [0, C). Others: an error where the labels lie in the host's memory,
            else the term is NaN.
        class_weights: rows of shape (C, D), of any length; same dtype, or a wider one.
        scale: [0, inf); an array of shape () is used as it is and not checked.
        margin: in radians, [0, pi]; an array of shape () is used as it is and not checked.
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes
            ``cos(theta) - margin sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
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

    At kinks: gradient 0 of the label's logit where the angle is 0 or pi; a zero row has cosine 0 and gives and
    gets no gradient. Clauses AF-1 to AF-17, CE-1, CE-3, CE-4, CV-1 to CV-46, DD-1 to DD-19.
    Source: Deng et al. (2019), eq. 3.
    """
    devices = joined(axis_name)
    scale, margin = real("scale", scale, 0), real("margin", margin, 0, high=math.pi)  # AF-15
    check_choice("beyond_pi", beyond_pi, BEYOND_PI)
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    of_units = unit_weights(weights, mask, embeddings=embeddings)
    mask = weighing(mask, of_units)
    labels, x = batch(mask, labels, beside=(class_weights,), embeddings=embeddings)
    w = table("class_weights", class_weights, "embeddings", embeddings, x.dtype)
    kept, legal = in_range(labels, 0, w.shape[0] - 1)
    scale, margin = in_dtype(scale, x.dtype), in_dtype(margin, x.dtype)

    x, w = unit_rows(x), unit_rows(w)  # AF-2
    cosine = jnp.matmul(x, w.T, precision=jax.lax.Precision.HIGHEST)  # CV-20
    label_cosine = _label_cosine(x, rows_of(w, kept, x), margin, beyond_pi)
    own = kept[:, None] == jnp.arange(w.shape[0], dtype=kept.dtype)[None]
    logits = scale * jnp.where(own, label_cosine[:, None], cosine)  # AF-1
    terms = jnp.where(legal, cross_entropy(logits, kept), jnp.nan)  # CV-33
    return reduce(terms, mask, reduction, of_units, devices=devices)


def arcface_logits(embeddings: Input, class_weights: Input, *, scale: float | Array = 64.0) -> Array:
    """Return the logits of rows without a margin, by which one classifies.

    ``scale * cos(theta_j)``, where theta_j is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), of any length; float16, bfloat16, float32, or float64 where
            `jax_enable_x64` is on.
        class_weights: rows of shape (C, D), of any length; same dtype, or a wider one.
        scale: [0, inf); an array of shape () is used as it is and not checked.

    Returns:
        The logits, of shape (B, C); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A zero row has logit 0 with every row, and gives and gets no gradient. Clauses AF-18 to AF-22.
    Source: Deng et al. (2019).
    """
    scale = real("scale", scale, 0)  # AF-21
    check_batch("embeddings", *describe("embeddings", embeddings))
    (x,) = rows(None, beside=(class_weights,), embeddings=embeddings)
    w = table("class_weights", class_weights, "embeddings", embeddings, x.dtype)
    return in_dtype(scale, x.dtype) * products(unit_rows(x), unit_rows(w))  # AF-18, AF-19, AF-20


def _label_cosine(x: Array, w: Array, margin: float | Array, beyond_pi: str) -> Array:
    """Return cos(theta + margin), or what stands for it past pi, for each row of x and the same row of w."""
    cos_m, sin_m = _cosine_and_sine(margin)  # AF-3
    cosine = jnp.sum(x * w, axis=-1)
    away = x - cosine[:, None] * w
    square = jnp.sum(away * away, axis=-1)
    flat = square == 0  # no gradient there: AF-13
    sine = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, square)))  # AF-4, AF-11
    sine = jnp.where(_zero(x) | _zero(w), 1, sine)  # AF-9, AF-14
    added = cosine * cos_m - sine * sin_m
    if beyond_pi == "keep":
        return added  # AF-5
    shift = -margin * sin_m if beyond_pi == "linear" else cos_m - 1  # AF-6, AF-7
    return jnp.where(cosine < -cos_m, cosine + shift, added)  # AF-8, AF-12


def _cosine_and_sine(angle: float | Array) -> tuple[float | Array, float | Array]:
    return (jnp.cos(angle), jnp.sin(angle)) if isinstance(angle, Array) else (math.cos(angle), math.sin(angle))


def _zero(unit: Array) -> Array:
    return jnp.all(unit == 0, axis=-1)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class ArcFaceLoss:
    """`arcface_loss` as a pytree: `scale` and `margin` are leaves without gradient, the other options are static.

    The class weights are an argument of the call: they belong to the parameters that are trained.

    Args:
        scale: [0, inf); an array of shape () is used as it is and not checked.
        margin: in radians, [0, pi]; an array of shape () is used as it is and not checked.
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes ``cos(theta) - margin
            sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import ArcFaceLoss
        >>> loss = ArcFaceLoss(scale=4.0)
        >>> round(float(loss(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([0, 1]), jnp.eye(2))), 3)
        0.029
    """

    scale: float | Array = 64.0
    margin: float | Array = 0.5
    beyond_pi: str = "keep"
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        row = np.zeros((1, 1), np.float32)
        labels = np.zeros(1, np.int32)
        jax.eval_shape(partial(arcface_loss, **alone(self._options())), row, labels, row)  # refuses illegal ones

    def __call__(
        self,
        embeddings: Input,
        labels: Input,
        class_weights: Input,
        mask: Input | None = None,
        weights: Input | None = None,
    ) -> Array:
        """Return the loss of the rows; see `arcface_loss`."""
        return arcface_loss(embeddings, labels, class_weights, mask=mask, weights=weights, **constants(self._options()))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.scale, self.margin), (self.beyond_pi, self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, Any]) -> ArcFaceLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("scale", "margin", "beyond_pi", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
