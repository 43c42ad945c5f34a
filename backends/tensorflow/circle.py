"""Circle loss (spec/circle.md)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, number, real, spoilt
from lossproof.backends.tensorflow.candidates import Sets, as_sets
from lossproof.backends.tensorflow.distributed import joined, union
from lossproof.backends.tensorflow.labelled import LabelLoss, for_compile
from lossproof.backends.tensorflow.reductions import OverNumber, number_or_1, reduce
from lossproof.backends.tensorflow.weights import total_weight, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice


@for_compile("CircleLoss")
def circle_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    margin: float | tf.Tensor = 0.25,
    gamma: float | tf.Tensor = 256.0,
    detach_weights: bool = True,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    candidates: tf.Tensor | None = None,
    candidate_labels: tf.Tensor | None = None,
    candidate_mask: tf.Tensor | None = None,
    candidate_index: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the circle loss of a batch.

    For an anchor with similarities ``s`` (cosines) to its positives P and negatives N,
    ``log(1 + sum_N exp(gamma a_n (s_n - margin)) * sum_P exp(-gamma a_p (s_p - 1 + margin)))`` with the weights
    ``a_p = max(0, 1 + margin - s_p)`` and ``a_n = max(0, s_n + margin)``; 0 where P or N is empty.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or
            numpy array; their lengths do not matter.
        labels: integers of shape (B,).
        margin: [-1, 1], in the unit of the cosine; a tensor of shape () is used as it is and not checked.
        gamma: scale of the exponents, [0, inf); a tensor of shape () is used as it is and not checked.
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another, and both get a gradient.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part. What a masked row holds, NaN included, changes nothing.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error where they are read, which is
            in a numpy array and in an eager tensor on the CPU, and elsewhere the terms of the anchor are NaN.
        reduction: "none", "sum", "mean" (over rows that take part) or "mean_nonzero" (over those of them that
            have a positive and a negative).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 embeddings, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.
        tf.errors.InvalidArgumentError: shapes that were unknown to a tf.function differ when it runs.

    At kinks: a weight clipped at 0 has derivative 0; a zero row has cosine 0 and no gradient. Memory is O(B²),
    or O(B M). Clauses CI-1 to CI-17, PW-9 to PW-14, CV-1 to CV-46, DD-1 to DD-19.
    Source: Sun et al. (2020), eq. 4 to 9.
    """
    replicas = joined(across_replicas)
    margin = real("margin", margin, -1, high=1)
    gamma = real("gamma", gamma, 0)
    check_bool("detach_weights", detach_weights)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, candidates, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, replicas, embeddings)

    dtype = sets.rows.dtype
    margin = number(margin, dtype)
    gamma = tf.minimum(number(gamma, dtype), number(float(dtype.max) / 64, dtype))  # exponents stay finite (CV-19)
    positive, negative = sets.pairs()  # CI-2, PW-9
    sets, whole, others = sets.cleared(tf.math.is_finite)  # CV-42
    s, same = _cosines(sets), sets.same

    weight = tf.nn.relu(tf.where(same, 1 + margin - s, s + margin))  # CI-4, CI-11
    if detach_weights:
        weight = tf.stop_gradient(weight)  # CI-10
    exponent = gamma * (weight * tf.where(same, 1 - margin - s, s - margin))
    both = tf.reduce_any(positive, axis=1) & tf.reduce_any(negative, axis=1)
    terms = tf.math.softplus(_log_sum_exp(exponent, positive) + _log_sum_exp(exponent, negative))  # CI-1, CI-5
    unknown = sets.unknown(whole, others)
    terms = spoilt(filled(terms, ~both, 0.0), unknown)  # CI-6, CI-9, CI-13, CI-17
    mask = sets.takes_part
    if reduction != "mean_nonzero":
        return reduce(terms, mask, reduction, w, replicas=replicas)
    counted = both | unknown if mask is None else (both | unknown) & mask
    total = reduce(terms, mask, "sum", w)
    if w is not None and not isinstance(reduction, OverNumber):
        return total / total_weight(filled(w, ~counted, 0.0), replicas)  # CI-16
    return total / number_or_1(tf.math.count_nonzero(counted, dtype=tf.int32), dtype, replicas)  # CI-8


def _cosines(sets: Sets) -> tf.Tensor:
    """Return the cosines (B, M), 0 for a zero row, which receives no gradient (CI-3, CI-12)."""
    x = tf.cast(_units(sets.rows), tf.float64)  # TF32 reaches every float32 product (CV-20)
    y = tf.cast(_units(sets.candidates), tf.float64) if sets.second else x
    return tf.cast(tf.matmul(x, y, transpose_b=True), sets.rows.dtype)


def _units(rows: tf.Tensor) -> tf.Tensor:
    size = tf.stop_gradient(tf.abs(rows))
    tiny = np.finfo(rows.dtype.as_numpy_dtype).smallest_normal
    zero = tf.reduce_all(size < tiny, axis=1, keepdims=True)  # subnormal rows count as zero
    largest = tf.reduce_max(size, axis=1, keepdims=True)
    divisor = tf.minimum(largest, float(rows.dtype.max) / 16)  # XLA multiplies by the inverse: keep it normal
    scaled = filled(rows, zero, 0.0) / filled(divisor, zero, 1.0)
    return scaled / tf.sqrt(filled(tf.reduce_sum(scaled * scaled, axis=1, keepdims=True), zero, 1.0))


def _log_sum_exp(exponent: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Return the logarithm of the sum of the chosen exponentials of each row, 0 where none is chosen (CI-7)."""
    some = tf.reduce_any(chosen, axis=1)
    largest = tf.reduce_max(filled(tf.stop_gradient(exponent), ~chosen, exponent.dtype.min), axis=1)
    largest = filled(largest, ~some, 0.0)
    powers = filled(tf.exp(filled(exponent - largest[:, tf.newaxis], ~chosen, 0.0)), ~chosen, 0.0)
    return largest + tf.math.log(filled(tf.reduce_sum(powers, axis=1), ~some, 1.0))


@keras.saving.register_keras_serializable(package="lossproof")
class CircleLoss(LabelLoss):
    """`circle_loss` of one prediction (B, D) and its labels, (B,) or (B, 1).

    Options as in the function, but numbers on the host only; an illegal one is refused at construction.

    `mean` divides by the number of rows, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        margin: [-1, 1], in the unit of the cosine.
        gamma: scale of the exponents, [0, inf).
        detach_weights: True: the weights have no gradient, as in the paper; False: they have.
        reduction: "none", "sum", "mean" (over rows that take part), "mean_nonzero" (over those of them that
            have a positive and a negative) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import CircleLoss
        >>> loss = CircleLoss(gamma=16.0)
        >>> round(float(loss(np.array([0, 0, 1]), np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], "float32"))), 3)
        3.937
    """

    function = staticmethod(circle_loss)

    def __init__(
        self,
        *,
        margin: float = 0.25,
        gamma: float = 256.0,
        detach_weights: bool = True,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "circle_loss",
    ) -> None:
        super().__init__(
            reduction=reduction,
            across_replicas=across_replicas,
            name=name,
            margin=margin,
            gamma=gamma,
            detach_weights=detach_weights,
        )
