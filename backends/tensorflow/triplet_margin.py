"""Triplet margin loss (spec/triplet_margin.md)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import describe, filled, number, real, rows
from lossproof.backends.tensorflow.distances import row_distance
from lossproof.backends.tensorflow.distributed import across, as_compiled, joined
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import check_reduction, for_compile, for_function, sample_weights
from lossproof.backends.tensorflow.reductions import reduce, softened
from lossproof.backends.tensorflow.weights import constant_where_0, unit_weights
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_distance,
    check_real,
    check_rows,
    check_soft_margin,
)


@for_compile("TripletMarginLoss")
def triplet_margin_loss(
    anchor: tf.Tensor,
    positive: tf.Tensor,
    negative: tf.Tensor,
    *,
    margin: float | tf.Tensor = 1.0,
    soft_margin: bool = False,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float | tf.Tensor = 1e-6,
    eps_at: str = "difference",
    swap: bool = False,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the triplet margin loss of rows.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))``, with ``d(positive, negative)`` in place of
    the last distance where `swap` is True and it is strictly smaller; with `soft_margin`
    ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))`` of the same distances.

    Args:
        anchor: rows of shape (..., D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or
            numpy array.
        positive: rows, same shape and dtype.
        negative: rows, same shape and dtype.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); a tensor of shape () is used as it is and not checked.
        eps_at: "difference" adds eps to each signed difference, "root" to the sum of powers, "floor" raises
            that sum.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those that are
            positive).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (...) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    At kinks: derivative 0 for the hinge at 0, for |t| at 0, for a norm at 0 and at or below a floor; with
    p = inf the lowest coordinate; `swap` at a tie takes d(anchor, negative).
    Clauses TM-1 to TM-11, DI-1 to DI-21, CV-1 to CV-46, DD-1 to DD-19.
    Source: Schroff et al. (2015), eq. 2; Balntas et al. (2016), eq. 4.
    """
    replicas = joined(across_replicas)
    margin = real("margin", margin, 0)  # TM-3
    check_soft_margin(soft_margin, margin, 1.0)  # TM-11
    eps = real("eps", eps, 0)
    _check_options(distance, p, eps, eps_at, swap, reduction)
    w = unit_weights(weights, mask, anchor=anchor)
    mask, given = rows(mask, anchor=anchor, positive=positive, negative=negative)
    a, pos, neg = constant_where_0(w, *given)

    p = float(p)
    to_positive = row_distance(a, pos, distance, p, eps, eps_at)  # TM-4
    to_negative = row_distance(a, neg, distance, p, eps, eps_at)
    if swap:
        between = row_distance(pos, neg, distance, p, eps, eps_at)
        to_negative = tf.where(between < to_negative, between, to_negative)  # TM-5, TM-6
    if soft_margin:
        terms, reduction = softened(to_positive - to_negative, reduction)  # TM-11
    else:
        slack = number(margin, a.dtype) + to_positive - to_negative
        terms = filled(slack, slack <= 0, 0.0)  # TM-1, TM-10, CV-13; NaN stays, CV-10
    return reduce(terms, mask, reduction, w, replicas=replicas)


def _check_options(distance: str, p: float, eps: float | tf.Tensor, eps_at: str, swap: bool, reduction: str) -> None:
    check_distance(distance, p, eps, eps_at)  # DI-20, DI-21
    check_bool("swap", swap)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27


@keras.saving.register_keras_serializable(package="lossproof")
class TripletMarginLoss(keras.losses.Loss):  # type: ignore[misc]
    """`triplet_margin_loss` of one prediction (N, 3 D) that holds anchor, positive and negative side by side.

    Options as in the function, but numbers on the host only; an illegal one is refused at construction.
    There is no mask, and a mask that a Keras layer attached is not read: the function is the way to leave
    rows out. A dtype policy does not change the loss. `sample_weight` may be (N,) or (N, 1), floats, integers or
    booleans.

    `mean` divides by the number of rows, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        margin: in the unit of the distance, [0, inf). Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: "difference" adds eps to each signed difference, "root" to the sum of powers, "floor" raises
            that sum.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        reduction: "none", "sum", "mean" (over rows that take part), "mean_nonzero" (over those that are
            positive) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import TripletMarginLoss
        >>> loss = TripletMarginLoss(margin=2.0)
        >>> round(float(loss(np.zeros(1), np.array([[0.0, 0.0, 3.0, 4.0, 0.0, 6.0]], "float32"))), 3)
        1.0
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        soft_margin: bool = False,
        distance: str = "p_norm",
        p: float = 2.0,
        eps: float = 1e-6,
        eps_at: str = "difference",
        swap: bool = False,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "triplet_margin_loss",
    ) -> None:
        check_real("margin", margin, 0)  # TM-3
        check_real("eps", eps, 0)
        check_reduction(reduction, REDUCTIONS)
        _check_options(distance, p, eps, eps_at, swap, for_function(reduction))
        super().__init__(name=name, reduction="none")
        check_bool("across_replicas", across_replicas)
        self.across_replicas = across_replicas
        self.reduction = reduction  # Keras does not know all of them, and weighs them with its own masks
        self.options: dict[str, Any] = {
            "margin": float(margin), "soft_margin": soft_margin, "distance": distance, "p": float(p),
            "eps": float(eps), "eps_at": eps_at, "swap": swap,
        }  # fmt: skip

    @as_written
    def __call__(self, y_true: Any, y_pred: tf.Tensor, sample_weight: Any = None) -> tf.Tensor:
        """Return the loss of the rows in `y_pred`; `y_true` is not read."""
        return self._reduced(y_pred, self.reduction, sample_weight)

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Return one term a row, whatever the reduction; the form in which Keras asks for losses."""
        return self._reduced(y_pred, "none")

    def _reduced(self, y_pred: tf.Tensor, reduction: str, sample_weight: Any = None) -> tf.Tensor:
        shape, dtype = describe("y_pred", y_pred)
        check_rows({"y_pred": (shape, dtype)})
        if len(shape) != 2 or (shape[-1] is not None and shape[-1] % 3):
            raise ValueError(f"y_pred must have shape (N, 3 D), anchor, positive, negative side by side, got {shape}")
        units: dict[str, Any] = {
            "weights": sample_weights(sample_weight, y_pred=y_pred),
            "reduction": for_function(reduction),
            "across_replicas": across(self.across_replicas),
        }
        with tf.name_scope(self.name):
            anchor, positive, negative = tf.split(y_pred, 3, axis=-1)  # S6
            found = triplet_margin_loss(anchor, positive, negative, **units, **self.options)
            return as_compiled(found, reduction, self.across_replicas)

    def get_config(self) -> dict[str, Any]:
        """Return the options, from which `from_config` builds an equal loss."""
        across_replicas = {"across_replicas": self.across_replicas}
        return {**self.options, "reduction": self.reduction, **across_replicas, "name": self.name}
