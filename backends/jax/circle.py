"""Circle loss (spec/circle.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from lossproof.backends.jax.arrays import Input, constants, in_dtype, real, whole
from lossproof.backends.jax.candidates import Sets, as_sets
from lossproof.backends.jax.distributed import AxisName, alone, joined, union
from lossproof.backends.jax.products import products
from lossproof.backends.jax.reductions import number, reduce
from lossproof.backends.jax.weights import in_arithmetic, total_weight, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice


def circle_loss(
    embeddings: Input,
    labels: Input,
    *,
    margin: float | Array = 0.25,
    gamma: float | Array = 256.0,
    detach_weights: bool = True,
    mask: Input | None = None,
    weights: Input | None = None,
    candidates: Input | None = None,
    candidate_labels: Input | None = None,
    candidate_mask: Input | None = None,
    candidate_index: Input | None = None,
    reduction: str = "mean",
    axis_name: AxisName | None = None,
) -> Array:
    """Return the circle loss of a batch.

    For an anchor with similarities ``s`` (cosines) to its positives P and negatives N,
    ``log(1 + sum_N exp(gamma a_n (s_n - margin)) * sum_P exp(-gamma a_p (s_p - 1 + margin)))`` with the weights
    ``a_p = max(0, 1 + margin - s_p)`` and ``a_n = max(0, s_n + margin)``; 0 where P or N is empty.

    `jax.jit` needs ``static_argnames=("detach_weights", "reduction", "axis_name")``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on;
            their lengths do not matter.
        labels: integers of shape (B,).
        margin: [-1, 1], in the unit of the cosine; an array of shape () is used as it is and not checked.
        gamma: scale of the exponents, [0, inf); an array of shape () is used as it is and not checked.
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error where they lie in the host's memory, else the term is NaN.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error where they lie in the host's
            memory, else the term is NaN.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that
            have a positive and a negative).
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 embeddings, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: a weight clipped at 0 has derivative 0; a zero row has cosine 0 and no gradient. Memory is O(B²), or
    O(B M). Clauses CI-1 to CI-17, PW-9 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Sun et al. (2020), eq. 4 to 9.
    """
    devices = joined(axis_name, candidates)
    margin = real("margin", margin, -1, high=1)
    gamma = real("gamma", gamma, 0)
    check_bool("detach_weights", detach_weights)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, devices, embeddings.dtype)
    w = unit_weights(weights, mask, embeddings=embeddings)
    (w,) = whole(w)
    dtype, mask = sets.rows.dtype, sets.takes_part
    margin = in_dtype(margin, dtype)
    gamma = jnp.minimum(in_dtype(gamma, dtype), float(np.finfo(dtype).max) / 64)  # finite exponents (CV-19)
    unknown = None
    if sets.second:
        sets, finite, others = sets.known()
        unknown = sets.unknown(finite, others)  # CI-17
    elif w is not None:
        sets = sets.changed(lambda rows: jnp.where((w != 0).any(), rows, 0))  # CV-42: no NaN comes from rows in no term
    s, same = _cosines(sets), sets.same  # CV-32
    positive, negative = sets.pairs()  # CI-2, PW-9

    weight = jax.nn.relu(jnp.where(same, 1 + margin - s, s + margin))  # CI-4, CI-11
    if detach_weights:
        weight = stop_gradient(weight)  # CI-10
    exponent = gamma * (weight * jnp.where(same, 1 - margin - s, s - margin))
    both = positive.any(1) & negative.any(1)
    terms = jax.nn.softplus(_log_sum_exp(exponent, positive) + _log_sum_exp(exponent, negative))  # CI-1, CI-5
    spoilt = jnp.isnan(s).any(1) if unknown is None else unknown
    terms = jnp.where(both, terms, jnp.where(spoilt, jnp.nan, 0))  # CI-6, CI-9, CI-13
    if unknown is not None:
        terms = jnp.where(unknown, jnp.nan, terms)
    if reduction != "mean_nonzero":
        return reduce(terms, mask, reduction, w, devices=devices)
    counted = both | spoilt if mask is None else (both | spoilt) & jnp.asarray(mask)
    if w is None:
        divisor = number(devices, counted, terms.dtype)  # CI-8
    else:
        divisor = total_weight(jnp.where(counted, in_arithmetic(w, terms.dtype), 0), devices)  # CI-16
    return reduce(terms, mask, "sum", w) / divisor


def _cosines(sets: Sets) -> Array:
    """Return the cosines of each anchor with each candidate, (B, M): CI-3, CI-12."""
    unit = _units(sets.rows)
    return products(unit, _units(sets.candidates) if sets.second else unit)


def _units(rows: Array) -> Array:
    """Return rows of length 1, and zeros for a zero row, which receives no gradient (CI-3, CI-12)."""
    largest = jnp.max(jnp.abs(stop_gradient(rows)), axis=1, keepdims=True)
    zero = largest < float(np.finfo(rows.dtype).tiny)  # subnormal rows count as zero
    divisor = jnp.minimum(
        largest, float(np.finfo(rows.dtype).max) / 16
    )  # XLA multiplies by the inverse: keep it normal
    scaled = jnp.where(zero, 0, rows) / jnp.where(zero, 1, divisor)
    return scaled / jnp.sqrt(jnp.where(zero, 1, jnp.sum(scaled * scaled, axis=1, keepdims=True)))


def _log_sum_exp(exponent: Array, chosen: Array) -> Array:
    """Return the logarithm of the sum of the chosen exponentials of each row, 0 where none is chosen (CI-7)."""
    some = chosen.any(1)
    least = -float(np.finfo(exponent.dtype).max)
    largest = jnp.max(jnp.where(chosen, stop_gradient(exponent), least), axis=1, initial=least)
    largest = jnp.where(some, largest, 0)
    powers = jnp.where(chosen, jnp.exp(jnp.where(chosen, exponent - largest[:, None], 0)), 0)
    return largest + jnp.log(jnp.where(some, jnp.sum(powers, axis=1), 1))


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, kw_only=True)
class CircleLoss:
    """`circle_loss` as a pytree: `margin` and `gamma` are leaves without gradient, the other options are static.

    Args:
        margin: [-1, 1], in the unit of the cosine; an array of shape () is used as it is and not checked.
        gamma: scale of the exponents, [0, inf); an array of shape () is used as it is and not checked.
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that
            have a positive and a negative).
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import CircleLoss
        >>> loss = CircleLoss(gamma=16.0)
        >>> round(float(loss(jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), jnp.array([0, 0, 1]))), 3)
        3.937
    """

    margin: float | Array = 0.25
    gamma: float | Array = 256.0
    detach_weights: bool = True
    reduction: str = "mean"
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        rows, labels = np.zeros((1, 1), np.float32), np.zeros(1, np.int32)
        jax.eval_shape(partial(circle_loss, **alone(self._options())), rows, labels)  # refuses illegal ones

    def __call__(
        self,
        embeddings: Input,
        labels: Input,
        mask: Input | None = None,
        weights: Input | None = None,
        *,
        candidates: Input | None = None,
        candidate_labels: Input | None = None,
        candidate_mask: Input | None = None,
        candidate_index: Input | None = None,
    ) -> Array:
        """Return the loss of the batch; see `circle_loss`."""
        return circle_loss(
            embeddings,
            labels,
            mask=mask,
            weights=weights,
            candidates=candidates,
            candidate_labels=candidate_labels,
            candidate_mask=candidate_mask,
            candidate_index=candidate_index,
            **constants(self._options()),
        )

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
        """Return the leaves and the static options."""
        return (self.margin, self.gamma), (self.detach_weights, self.reduction, self.axis_name)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, Any]) -> CircleLoss:
        """Rebuild without checks: what JAX puts into the leaves need not be numbers."""
        loss = object.__new__(cls)
        names = ("margin", "gamma", "detach_weights", "reduction", "axis_name")
        vars(loss).update(zip(names, (*leaves, *static), strict=True))
        return loss
