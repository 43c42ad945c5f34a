"""Contrastive loss (spec/contrastive.md)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import describe, filled, number, of_one_shape, real, rows, spoilt
from lossproof.backends.tensorflow.distances import row_distance
from lossproof.backends.tensorflow.distributed import joined
from lossproof.backends.tensorflow.labelled import LabelLoss, for_compile
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import constant_where_0, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_distance, check_mask, check_rows


@for_compile("ContrastiveLoss")
def contrastive_loss(
    x1: tf.Tensor,
    x2: tf.Tensor,
    dissimilar: tf.Tensor,
    *,
    margin: float | tf.Tensor = 1.0,
    factor: float | tf.Tensor = 0.5,
    distance: str = "p_norm",
    p: float = 2.0,
    eps: float | tf.Tensor = 0.0,
    eps_at: str = "difference",
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the contrastive loss of pairs of rows.

    ``factor * d(x1, x2)**2`` for a similar pair and ``factor * max(0, margin - d(x1, x2))**2`` for a dissimilar one.

    Args:
        x1: rows of shape (..., D); float16, bfloat16, float32 or float64.
        x2: rows, same shape and dtype.
        dissimilar: booleans of shape (...); True for a pair that belongs apart.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked.
        factor: of both parts, [0, inf); the same; 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf); the same.
        eps_at: where it is added: "difference", "root" or "floor".
        mask: booleans of shape (...); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (...), [0, inf), as wide as the rows or wider: each multiplies its term, and a mean
            divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum", "mean" (over pairs that take part) or "mean_nonzero" (over those that are positive).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (...) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    At kinks: coincident rows have gradient 0, and so has a pair at the margin; the others as for the distance.
    Clauses CO-1 to CO-10, DI-1 to DI-21, CV-1 to CV-46, DD-1 to DD-19. Source: Hadsell, Chopra & LeCun (2006), eq. 4.
    """
    replicas = joined(across_replicas)
    margin, factor = real("margin", margin, 0), real("factor", factor, 0)  # CO-10
    eps = real("eps", eps, 0)
    check_distance(distance, p, eps, eps_at, default_eps=0.0)  # DI-20, DI-21
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    shape = describe("x1", x1)[0]
    w = unit_weights(weights, mask, x1=x1)
    mask, given = rows(mask, x1=x1, x2=x2)
    x, y = constant_where_0(w, *given)
    check_mask("dissimilar", *describe("dissimilar", dissimilar), shape[:-1])  # CO-9
    if None in (*shape, *dissimilar.shape):  # compared when the graph runs; XLA and an old graph drop assertions
        dissimilar, _ = of_one_shape(tf.convert_to_tensor(dissimilar), tf.zeros_like(x[..., 0], tf.bool))

    d = row_distance(x, y, distance, float(p), eps, eps_at)
    gap = number(margin, x.dtype) - d
    reach = tf.where(dissimilar, filled(gap, gap <= 0, 0.0), d)  # CV-13; NaN stays, CV-10
    limit = 2.0**-2 * float(x.dtype.max) ** 0.5
    reach = filled(reach, reach > limit, limit)  # CV-19
    return reduce(number(factor, x.dtype) * reach * reach, mask, reduction, w, replicas=replicas)  # CO-1, CO-2, CO-3


def _of_one_prediction(y_pred: tf.Tensor, labels: tf.Tensor, **options: Any) -> tf.Tensor:
    """Return the loss of one prediction (N, 2 D) that holds both rows of each pair side by side."""
    shape, dtype = describe("y_pred", y_pred)
    check_rows({"y_pred": (shape, dtype)})
    if len(shape) != 2 or (shape[-1] is not None and shape[-1] % 2):
        raise ValueError(f"y_pred must have shape (N, 2 D), both rows of a pair side by side, got {shape}")
    if labels.dtype.name != "bool":  # numbers 0 and 1: a class may convert what the function refuses
        known = tf.equal(labels, 0) | tf.equal(labels, 1)
        y_pred, labels = spoilt(y_pred, ~known[:, tf.newaxis]), tf.equal(labels, 1)
    x1, x2 = tf.split(y_pred, 2, axis=-1)
    return contrastive_loss(x1, x2, labels, **options)


@keras.saving.register_keras_serializable(package="lossproof")
class ContrastiveLoss(LabelLoss):
    """`contrastive_loss` of one prediction (N, 2 D) that holds x1 and x2 side by side; the labels are `dissimilar`,
    booleans or the numbers 0 and 1; another number makes its pair NaN.

    Options as in the function, but numbers on the host only; an illegal one is refused at construction. There is no
    mask: the function is the way to leave pairs out.

    `mean` divides by the number of pairs, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        margin: in the unit of the distance, [0, inf).
        factor: of both parts, [0, inf); 0.5 in the paper.
        distance: "p_norm", "euclidean", "squared_euclidean" or "cosine".
        p: exponent of "p_norm", [1, inf].
        eps: offset of "p_norm", [0, inf).
        eps_at: where it is added: "difference", "root" or "floor".
        reduction: "none", "sum", "mean" (over pairs that take part), "mean_nonzero" (over those that are
            positive) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import ContrastiveLoss
        >>> loss = ContrastiveLoss(margin=2.0)
        >>> round(float(loss(np.array([0]), np.array([[0.0, 0.0, 3.0, 4.0]], "float32"))), 3)
        12.5
    """

    function = staticmethod(_of_one_prediction)
    example = (np.zeros((0, 2), np.float32), np.zeros((0,), bool))

    def __init__(
        self,
        *,
        margin: float = 1.0,
        factor: float = 0.5,
        distance: str = "p_norm",
        p: float = 2.0,
        eps: float = 0.0,
        eps_at: str = "difference",
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "contrastive_loss",
    ) -> None:
        super().__init__(
            margin=margin,
            factor=factor,
            distance=distance,
            p=p,
            eps=eps,
            eps_at=eps_at,
            reduction=reduction,
            across_replicas=across_replicas,
            name=name,
        )
