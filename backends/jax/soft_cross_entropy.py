"""Soft cross-entropy loss (spec/soft_cross_entropy.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, constants, describe, in_dtype, on_host, real, refuse_truncation, rows
from lossproof.backends.jax.distributed import AxisName, alone, joined
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import no_rows, unit_weights, weighing, weights_of_classes
from lossproof.spec.arguments import REDUCTIONS, check_batch, check_choice, check_target_range, check_targets


def soft_cross_entropy_loss(
    logits: Input,
    targets: Input,
    *,
    label_smoothing: float | Array = 0.0,
    mask: Input | None = None,
    weights: Input | None = None,
    class_weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the cross-entropy of rows of logits with targets that are probabilities.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with ``t = (1 - label_smoothing) targets + label_smoothing / K``,
    and ``class_weights_k t_k`` in place of ``t_k`` where they are given.

    `jax.jit` needs ``static_argnames=("reduction", "axis_name")``.

    Args:
        logits: rows of shape (B, K), unscaled logarithms of probabilities; float16, bfloat16, float32, or
            float64 where `jax_enable_x64` is on.
        targets: rows of shape (B, K), same dtype or a wider one, [0, inf]; a row need not add up to 1. A negative one
            is an error where the targets lie in the host's memory, else the term is NaN.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1]; an array of shape ()
            is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the targets
            give to its class. A mean does not divide by them. Others: an error where they lie in
            the host's memory, else each term is NaN. They are constants, and no table that is learned as in ArcFace.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses ST-1 to ST-22, CV-1 to CV-46, DD-1 to DD-19.
    Source: Hinton et al. (2015), eq. 2; smoothing: Szegedy et al. (2016), section 7.
    """
    devices = joined(axis_name)
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # ST-8
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    (shape, dtype), (shape_t, dtype_t) = describe("logits", logits), describe("targets", targets)
    check_batch("logits", shape, dtype)  # CV-34
    check_targets(shape_t, dtype_t, shape, dtype)  # ST-14
    refuse_truncation("targets", dtype_t)
    w = unit_weights(weights, mask, logits=logits)
    mask = weighing(mask, w)
    (z,) = rows(mask, beside=(targets,), logits=logits)
    _refuse_negative(targets, mask)
    if mask is not None:
        targets = jnp.where(mask[:, None], targets, 0)  # CV-8, CV-9
    t = jnp.asarray(targets, z.dtype)
    c = weights_of_classes(class_weights, z.dtype, logits=logits)
    terms = soft_cross_entropy(z, t, in_dtype(smoothing, z.dtype), c)
    return reduce(jnp.where(jnp.any(t < 0, axis=-1), jnp.nan, terms), mask, reduction, w, devices=devices)  # ST-15


def _refuse_negative(targets: Input, mask: Input | None) -> None:
    """Refuse negative targets on the host, of rows that take part: ST-15."""
    known, part = on_host(targets), None if mask is None else on_host(mask)
    if known is None or (mask is not None and part is None):
        return
    known = known if part is None else known[part]
    if (known < 0).any():
        check_target_range(float(known[known < 0].min()))


def soft_cross_entropy(
    z: Array, targets: Array, smoothing: float | Array = 0.0, class_weights: Array | None = None
) -> Array:
    """Return the terms (B,) of logits and targets (B, K)."""
    largest = float(np.finfo(z.dtype).max)
    limit = largest**0.5  # beyond the domain: CV-19
    shares = (1 - smoothing) * jnp.minimum(targets, limit) + smoothing / z.shape[-1]  # ST-2, ST-3, ST-7
    if class_weights is not None:
        shares = jnp.minimum(class_weights[None] * shares, limit)  # ST-17
    cost = -jax.nn.log_softmax(z, axis=-1)  # ST-4
    impossible = z < -largest  # and no infinity is written down, at which jax_debug_infs would stop: CV-36
    left_out = impossible & (shares == 0)  # no product of 0 and infinity: ST-9, ST-10, ST-20
    cost = jnp.where(left_out, 0, jnp.where(impossible, cost, jnp.minimum(cost, limit)))
    return jnp.sum(shares * cost, axis=-1)  # ST-1, ST-5, ST-6, ST-11


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class SoftCrossEntropyLoss:
    """`soft_cross_entropy_loss` as a pytree: `class_weights` and `label_smoothing` are leaves without gradient.

    The other options are static.

    Args:
        class_weights: floats of shape (K,), [0, inf): each multiplies what the targets give to its class.
        label_smoothing: the share of the targets that goes to all K classes evenly, [0, 1]; an array of shape
            () is used as it is and not checked.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import SoftCrossEntropyLoss
        >>> loss = SoftCrossEntropyLoss()
        >>> round(float(loss(jnp.array([[1.0, 3.0]]), jnp.array([[0.25, 0.75]]))), 3)
        0.627
    """

    class_weights: Input | None = None
    label_smoothing: float | Array = 0.0
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        rows = no_rows(self.class_weights)
        loss = partial(soft_cross_entropy_loss, **alone(self._options()))  # refuses illegal options
        jax.eval_shape(loss, rows, rows)

    def __call__(self, logits: Input, targets: Input, mask: Input | None = None, weights: Input | None = None) -> Array:
        """Return the loss of the rows; see `soft_cross_entropy_loss`."""
        return soft_cross_entropy_loss(logits, targets, mask=mask, weights=weights, **constants(self._options()))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.class_weights, self.label_smoothing), (self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, Any]) -> SoftCrossEntropyLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("class_weights", "label_smoothing", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
