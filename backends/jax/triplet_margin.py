"""Triplet margin loss (spec/triplet_margin.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, constants, in_dtype, real, rows
from lossproof.backends.jax.distances import row_distance
from lossproof.backends.jax.distributed import AxisName, alone, joined
from lossproof.backends.jax.reductions import reduce, softened
from lossproof.backends.jax.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_distance, check_soft_margin


def triplet_margin_loss(
    anchor: Input,
    positive: Input,
    negative: Input,
    *,
    margin: float | Array = 1.0,
    soft_margin: bool = False,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float | Array = 1e-6,
    eps_at: str = "difference",
    swap: bool = False,
    mask: Input | None = None,
    weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the triplet margin loss of rows.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))``, with ``d(positive, negative)`` in place of
    the last distance where `swap` is True and it is strictly smaller; with `soft_margin`
    ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))`` of the same distances.

    `jax.jit` needs ``static_argnames=("soft_margin", "distance", "p", "eps_at", "swap", "reduction", "axis_name")``.

    Args:
        anchor: rows of shape (..., D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        positive: rows, same shape and dtype.
        negative: rows, same shape and dtype.
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); an array of shape () is used as it is and not checked.
        eps_at: "difference" adds eps to each signed difference, "root" to the sum of powers, "floor" raises
            that sum to it.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        mask: booleans of shape (...); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that
            are positive).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (...) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: derivative 0 for the hinge at 0, for |t| at 0, for a norm at 0 and at or below a floor; with
    p = inf the lowest coordinate; `swap` at a tie takes d(anchor, negative).
    Clauses TM-1 to TM-11, DI-1 to DI-21, CV-1 to CV-46, DD-1 to DD-19.
    Source: Schroff et al. (2015), eq. 2; Balntas et al. (2016), eq. 4.
    """
    devices = joined(axis_name)
    margin = real("margin", margin, 0)  # TM-3
    check_soft_margin(soft_margin, margin, 1.0)  # TM-11
    eps = real("eps", eps, 0)
    check_distance(distance, p, eps, eps_at)  # DI-20, DI-21
    check_bool("swap", swap)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, anchor=anchor)
    mask = weighing(mask, w)
    a, pos, neg = rows(mask, anchor=anchor, positive=positive, negative=negative)
    margin, eps = in_dtype(margin, a.dtype), in_dtype(eps, a.dtype)

    to_positive = row_distance(a, pos, distance, p, eps, eps_at)  # TM-4
    to_negative = row_distance(a, neg, distance, p, eps, eps_at)
    if swap:
        between = row_distance(pos, neg, distance, p, eps, eps_at)
        to_negative = jnp.where(between < to_negative, between, to_negative)  # TM-5, TM-6
    if soft_margin:
        terms, reduction = softened(to_positive - to_negative, reduction)  # TM-11
    else:
        terms = jax.nn.relu(margin + to_positive - to_negative)  # TM-1, TM-10, CV-13
    return reduce(terms, mask, reduction, w, devices=devices)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class TripletMarginLoss:
    """`triplet_margin_loss` as a pytree: `margin` and `eps` are leaves without gradient, the others are static.

    Args:
        margin: in the unit of the distance, [0, inf); an array of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); an array of shape () is used as it is and not checked.
        eps_at: "difference" adds eps to each signed difference, "root" to the sum of powers, "floor" raises
            that sum to it.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that
            are positive).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import TripletMarginLoss
        >>> loss = TripletMarginLoss(margin=2.0)
        >>> anchor, positive, negative = jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]]), jnp.array([[0.0, 6.0]])
        >>> round(float(loss(anchor, positive, negative)), 3)
        1.0
    """

    margin: float | Array = 1.0
    soft_margin: bool = False
    distance: str = "p_norm"
    p: float = 2.0
    eps: float | Array = 1e-6
    eps_at: str = "difference"
    swap: bool = False
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        row = np.zeros(1, np.float32)
        jax.eval_shape(partial(triplet_margin_loss, **alone(self._options())), row, row, row)  # refuses illegal ones

    def __call__(
        self, anchor: Input, positive: Input, negative: Input, mask: Input | None = None, weights: Input | None = None
    ) -> Array:
        """Return the loss of the rows; see `triplet_margin_loss`."""
        options = self._options()
        if self.distance != "p_norm":
            options["eps"] = 1e-6  # has no effect, and the leaf may be traced by now, which is refused: DI-21
        elif self.p == inf and self.eps_at != "difference":
            options["eps"] = 0.0  # the same: DI-20
        return triplet_margin_loss(anchor, positive, negative, mask=mask, weights=weights, **constants(options))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.margin, self.eps), (
            self.soft_margin, self.distance, self.p, self.eps_at, self.swap, self.reduction, self.axis_name,
        )  # fmt: skip

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, Any]) -> TripletMarginLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("margin", "eps", "soft_margin", "distance", "p", "eps_at", "swap", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
