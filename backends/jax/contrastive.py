"""Contrastive loss (spec/contrastive.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, constants, describe, in_dtype, real, rows
from lossproof.backends.jax.distances import row_distance
from lossproof.backends.jax.distributed import AxisName, alone, joined
from lossproof.backends.jax.reductions import reduce
from lossproof.backends.jax.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_distance, check_mask


def contrastive_loss(
    x1: Input,
    x2: Input,
    dissimilar: Input,
    *,
    margin: float | Array = 1.0,
    factor: float | Array = 0.5,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float | Array = 0.0,
    eps_at: str = "difference",
    mask: Input | None = None,
    weights: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the contrastive loss of pairs of rows.

    ``factor * d(x1, x2)**2`` for a similar pair and ``factor * max(0, margin - d(x1, x2))**2`` for a dissimilar one.

    Args:
        x1: rows of shape (..., D); float16, bfloat16, float32 or, with x64 on, float64.
        x2: rows, same shape and dtype.
        dissimilar: booleans of shape (...); True for a pair that belongs apart.
        margin: in the unit of the distance, [0, inf); an array of shape () may be traced and is not checked.
        factor: of both parts, [0, inf); the same; 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); the same.
        eps_at: where it is added: "difference", "root" or "floor".
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are positive).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (...) for "none", else (); float64 for float64 inputs, else float32.
        `static_argnames` of a jitted call: distance, p, eps_at, reduction, axis_name.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: coincident rows have gradient 0, and so has a pair at the margin; the others as for the distance.
    Clauses CO-1 to CO-10, DI-1 to DI-21, CV-1 to CV-46, DD-1 to DD-19. Source: Hadsell, Chopra & LeCun (2006), eq. 4.
    """
    devices = joined(axis_name)
    margin, factor = real("margin", margin, 0), real("factor", factor, 0)  # CO-10
    eps = real("eps", eps, 0)
    check_distance(distance, p, eps, eps_at, default_eps=0.0)  # DI-20, DI-21
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, x1=x1)
    mask = weighing(mask, w)
    x, y = rows(mask, x1=x1, x2=x2)
    check_mask("dissimilar", *describe("dissimilar", dissimilar), x.shape[:-1])  # CO-9
    margin, factor, eps = (in_dtype(number, x.dtype) for number in (margin, factor, eps))

    d = row_distance(x, y, distance, float(p), eps, eps_at)
    reach = jnp.where(dissimilar, jax.nn.relu(margin - d), d)  # CV-13
    limit = 2.0**-2 * float(np.finfo(x.dtype).max) ** 0.5
    reach = jnp.where(reach > limit, limit, reach)  # CV-19
    return reduce(factor * reach * reach, mask, reduction, w, devices=devices)  # CO-1, CO-2, CO-3


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss:
    """`contrastive_loss` as a pytree: `margin`, `factor` and `eps` are leaves without gradient.

    Args:
        margin: in the unit of the distance, [0, inf); an array of shape () may be traced and is not checked.
        factor: of both parts, [0, inf); the same; 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); the same.
        eps_at: where it is added: "difference", "root" or "floor".
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are
            positive).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import ContrastiveLoss
        >>> loss = ContrastiveLoss(margin=2.0)
        >>> round(float(loss(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]]), jnp.array([False]))), 3)
        12.5
    """

    margin: float | Array = 1.0
    factor: float | Array = 0.5
    distance: str = "p_norm"
    p: float = 2.0
    eps: float | Array = 0.0
    eps_at: str = "difference"
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        row, flag = np.zeros(1, np.float32), np.zeros((), bool)
        jax.eval_shape(partial(contrastive_loss, **alone(self._options())), row, row, flag)  # refuses illegal ones

    def __call__(
        self, x1: Input, x2: Input, dissimilar: Input, mask: Input | None = None, weights: Input | None = None
    ) -> Array:
        """Return the loss of the pairs; see `contrastive_loss`."""
        options = self._options()
        if self.distance != "p_norm" or (self.p == inf and self.eps_at != "difference"):
            options["eps"] = 0.0  # has no effect, and the leaf may be traced by now, which is refused: DI-20, DI-21
        return contrastive_loss(x1, x2, dissimilar, mask=mask, weights=weights, **constants(options))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.margin, self.factor, self.eps), (
            self.distance, self.p, self.eps_at, self.reduction, self.axis_name,
        )  # fmt: skip

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> ContrastiveLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("margin", "factor", "eps", "distance", "p", "eps_at", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
