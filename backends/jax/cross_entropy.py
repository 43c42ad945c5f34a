"""Cross-entropy loss (spec/cross_entropy.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, batch, constants, in_dtype, in_range, real, rows_of
from lossproof.backends.jax.distributed import AxisName, alone, joined
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import no_rows, of_class, unit_weights, weighing, weights_of_classes
from lossproof.spec.arguments import REDUCTIONS, check_choice


def cross_entropy_loss(
    logits: Input,
    labels: Input,
    *,
    label_smoothing: float | Array = 0.0,
    mask: Input | None = None,
    weights: Input | None = None,
    class_weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the cross-entropy of rows of logits with the labels' classes.

    ``sum_k t_k (log(sum_j exp(z_j)) - z_k)`` with
    ``t = (1 - label_smoothing) onehot(label) + label_smoothing / K``, and ``class_weights_k t_k`` in place of
    ``t_k`` where they are given.

    `jax.jit` needs ``static_argnames=("reduction", "axis_name")``.

    Args:
        logits: rows of shape (B, K), unscaled logarithms of probabilities; float16, bfloat16, float32, or
            float64 where `jax_enable_x64` is on.
        labels: integers of shape (B,) in [0, K). Others: an error where the labels lie in the host's memory,
            else the term is NaN.
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1]; an array of shape ()
            is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the logits or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        class_weights: floats of shape (K,), [0, inf), as wide as the logits or wider: each multiplies what the target
            gives to its class, and a mean divides by those of the labels. Others: an error where they lie in
            the host's memory, else each term is NaN. They are constants, and no table that is learned as in ArcFace.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 logits, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A logit of -inf leaves its class out where the target gives it no share, and makes the loss inf where it does.
    Clauses CE-1 to CE-18, CV-1 to CV-46, DD-1 to DD-19.
    Source: Deng et al. (2019), eq. 1; smoothing: Szegedy et al. (2016), section 7.
    """
    devices = joined(axis_name)
    smoothing = real("label_smoothing", label_smoothing, 0, high=1)  # CE-6
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = unit_weights(weights, mask, logits=logits)
    mask = weighing(mask, w)
    labels, z = batch(mask, labels, logits=logits)
    kept, legal = in_range(labels, 0, z.shape[1] - 1)
    c = weights_of_classes(class_weights, z.dtype, logits=logits)
    terms = jnp.where(legal, cross_entropy(z, kept, in_dtype(smoothing, z.dtype), c), jnp.nan)  # CV-33
    counted_as = None if c is None else _of_labels(c, kept, z)  # CE-14
    return reduce(terms, mask, reduction, w, counted_as, devices)


def cross_entropy(z: Array, labels: Array, smoothing: float | Array = 0.0, class_weights: Array | None = None) -> Array:
    """Return the terms (B,) of logits (B, K) with legal labels."""
    place = labels[:, None]  # no product with a one-hot row: CE-7, CE-8
    if isinstance(smoothing, float) and smoothing == 0:
        costs = -jnp.take_along_axis(jax.nn.log_softmax(z, axis=-1), place, axis=-1)[:, 0]  # CE-1, CE-3
        return costs if class_weights is None else of_class(_of_labels(class_weights, labels, z), costs)  # CE-13
    # Not log_softmax: its gradient adds the shares of K classes up, which round alike and lose digits (CV-16).
    below = jax.lax.stop_gradient(jnp.max(z, axis=-1, keepdims=True)) - z  # CE-3
    total = jnp.log(jnp.sum(jnp.exp(-below), axis=-1))
    own, mean = total + jnp.take_along_axis(below, place, axis=-1)[:, 0], total + jnp.mean(below, axis=-1)
    if class_weights is not None:
        own = of_class(_of_labels(class_weights, labels, z), own)  # CE-13, CE-15, CE-16
        mean = jnp.mean(of_class(class_weights[None], total[:, None] + below), axis=-1)
    return _share(1 - smoothing, own) + _share(smoothing, mean)  # CE-2, CE-4, CE-5, CE-9


def _of_labels(class_weights: Array, labels: Array, z: Array) -> Array:
    """Return the class weight of the label of each row."""
    return rows_of(class_weights[:, None], labels, z)[:, 0]


def _share(weight: float | Array, x: Array) -> Array:
    """Return weight * x, and 0 for no weight: x may be infinite."""
    return jnp.where(weight > 0, weight * x, 0)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class CrossEntropyLoss:
    """`cross_entropy_loss` as a pytree: `class_weights` and `label_smoothing` are leaves without gradient.

    The other options are static.

    Args:
        class_weights: floats of shape (K,), [0, inf): each multiplies what the target gives to its class.
        label_smoothing: the share of the target that goes to all K classes evenly, [0, 1]; an array of shape
            () is used as it is and not checked.
        reduction: "none", "sum" or "mean" (over rows that take part).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import CrossEntropyLoss
        >>> loss = CrossEntropyLoss()
        >>> round(float(loss(jnp.array([[0.0, 0.0]]), jnp.array([0]))), 3)
        0.693
    """

    class_weights: Input | None = None
    label_smoothing: float | Array = 0.0
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        loss = partial(cross_entropy_loss, **alone(self._options()))  # refuses illegal options
        jax.eval_shape(loss, no_rows(self.class_weights), np.zeros(0, np.int32))

    def __call__(self, logits: Input, labels: Input, mask: Input | None = None, weights: Input | None = None) -> Array:
        """Return the loss of the rows; see `cross_entropy_loss`."""
        return cross_entropy_loss(logits, labels, mask=mask, weights=weights, **constants(self._options()))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.class_weights, self.label_smoothing), (self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, Any]) -> CrossEntropyLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("class_weights", "label_smoothing", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
