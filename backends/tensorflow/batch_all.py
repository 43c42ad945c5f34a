"""Batch-all triplet loss (spec/batch_all.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, number, real, spoilt
from lossproof.backends.tensorflow.candidates import Sets, as_sets
from lossproof.backends.tensorflow.distributed import joined, over, union
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import LabelLoss, for_compile
from lossproof.backends.tensorflow.pairwise import set_distances
from lossproof.backends.tensorflow.positives import (
    Positives,
    collected,
    columns,
    number_of,
    positives,
    ranks,
    spread_out,
)
from lossproof.backends.tensorflow.reductions import OverNumber, reduce
from lossproof.backends.tensorflow.weights import total_weight, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise


@for_compile("BatchAllTripletLoss")
def batch_all_triplet_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    margin: float | tf.Tensor = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    candidates: tf.Tensor | None = None,
    candidate_labels: tf.Tensor | None = None,
    candidate_mask: tf.Tensor | None = None,
    candidate_index: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the batch-all triplet loss.

    ``max(0, margin + d(a, p) - d(a, n))`` for every anchor a, positive p and negative n of the batch.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or numpy
            array.
        labels: integers of shape (B,). Outside a tf.function, on the CPU, they are read for the largest number of
            positives.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows that
            nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1, or M with
            candidates, in a tf.function or on another device. With more, the terms of the anchor are NaN, and where
            labels are read an error is raised.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        candidates: rows of shape (M, D), same dtype or a wider one: the anchors are compared with these instead of
            with one another, and both get a gradient.
        candidate_labels: integers of shape (M,), given with `candidates`.
        candidate_mask: booleans of shape (M,); True takes part. What a masked row holds, NaN included, changes nothing.
        candidate_index: integers of shape (B,) in [-1, M): the candidate that is the anchor itself, which is neither
            its positive nor its negative; -1, as without it, for none. Others: an error where they are read, which is
            in a numpy array and in an eager tensor on the CPU, and elsewhere the terms of the anchor are NaN.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets) or "mean_nonzero" (over triplets that
            are positive).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: the hinge at 0 and coincident rows have gradient 0. Memory is O(B^2), or O(B M); no triplet
    is formed.
    Clauses BA-1 to BA-9, PW-1 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Hermans, Beyer & Leibe (2017), eq. 6.
    """
    replicas = joined(across_replicas)
    margin = real("margin", margin, 0)
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, candidates, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, replicas, embeddings)
    margin = number(margin, sets.rows.dtype)
    found = _triplets(sets, margin, distance, pairwise, max_positives)
    d, sign = found.d, found.sign
    part = tf.cast(sign, d.dtype) * (d - _center(tf.stop_gradient(d), sign))  # BA-5: each row of counts sums to 0
    sums = tf.reduce_sum(part, axis=-1) + margin * tf.cast(found.active, d.dtype)  # BA-1
    sums = spoilt(sums, found.broken)  # BA-7, PW-8
    if reduction in ("none", "sum"):
        return reduce(sums, None, reduction, w, replicas=replicas)
    counts = tf.cast(found.every if reduction == "mean" else found.active, d.dtype)  # BA-3, BA-4
    by_weight = w is not None and not isinstance(reduction, OverNumber)
    total = reduce(sums, None, "sum", w)
    if by_weight:
        return total / total_weight(w * counts, replicas)  # BA-9
    return total / tf.maximum(over(replicas, tf.reduce_sum(counts)), 1)


@as_written
def batch_all_active_fraction(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    margin: float | tf.Tensor = 1.0,
    distance: str = "euclidean",
    pairwise: str = "gram",
    max_positives: int | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return how many of the triplets of a batch are active, over how many there are: a number in [0, 1].

    A triplet of an anchor a, a positive p and a negative n is active where ``margin + d(a, p) - d(a, n) > 0``.
    Arguments and errors as in `batch_all_triplet_loss`. 0 without a triplet; NaN where there is one and a row that
    takes part holds NaN, or where an anchor of one has more than `max_positives`. Of shape (), without gradient;
    float64 for float64 inputs, else float32. Memory is O(B^2); no triplet is formed.
    Clauses BA-10 to BA-16, PW-1 to PW-6, PW-8. Source: Hermans, Beyer & Leibe (2017).
    """
    margin = real("margin", margin, 0)
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    sets = as_sets(embeddings, labels, mask)
    rows = tf.stop_gradient(sets.rows)  # BA-14
    margin = tf.stop_gradient(number(margin, rows.dtype))
    found = _triplets(replace(sets, rows=rows, candidates=rows), margin, distance, pairwise, max_positives)
    active, every = (tf.reduce_sum(tf.cast(counts, tf.int64)) for counts in (found.active, found.every))  # BA-15
    share = tf.cast(active, tf.float64) / tf.cast(tf.maximum(every, 1), tf.float64)  # BA-10, BA-12
    return spoilt(tf.cast(share, rows.dtype), tf.reduce_any(found.broken))  # BA-13, PW-8


class _Triplets(NamedTuple):
    """The distances of a batch, and how many triplets there are, none of which is formed."""

    d: tf.Tensor  # (B, M), with gradient
    sign: tf.Tensor  # (B, M), active triplets of each pair, those of a negative with a minus
    active: tf.Tensor  # (B,), of each anchor
    every: tf.Tensor  # (B,)
    broken: tf.Tensor  # (B,), whether an anchor with triplets has too many positives, or meets a row that is not finite


def _triplets(sets: Sets, margin: tf.Tensor, distance: str, pairwise: str, max_positives: int | None) -> _Triplets:
    positive, negative = sets.pairs()  # PW-2, PW-9
    sets, whole, others = sets.cleared(tf.math.is_finite)  # such a row would reach every distance: BA-7
    d = set_distances(sets, whole, others, distance, pairwise)
    fixed = tf.stop_gradient(d)

    found = positives(sets, positive, max_positives)
    sign, active = _counts(fixed, found, margin, negative)
    every = found.number * number_of(negative)  # BA-2
    broken = (every > 0) & (found.crowded | sets.unknown(whole, others))
    return _Triplets(d, sign, tf.where(broken, every, active), every, broken)  # BA-4: NaN is counted


def _counts(d: tf.Tensor, found: Positives, margin: tf.Tensor, negative: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the active triplets of each pair (B, M), those of a negative with a minus, and of each anchor (B,).

    A triplet is active where d(a, n) < d(a, p) + margin: BA-6.
    """
    last = d.dtype.max  # which no distance reaches
    away, anchor = filled(d, ~negative, last), tf.range(tf.shape(d)[0])

    def thresholds(column: tf.Tensor) -> tf.Tensor:
        return tf.minimum(margin + columns(d, column), last / 2)  # CV-19: farther than every row, and legal

    def each(k: tf.Tensor, sign: tf.Tensor, active: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        column, valid = found.at(k)
        closer = tf.cast(away < filled(thresholds(column), ~valid, -last), tf.int32)
        number = tf.reduce_sum(closer, axis=-1)
        pairs = tf.concat([anchor[:, tf.newaxis], column], axis=-1)
        return tf.tensor_scatter_nd_add(sign - closer, pairs, number), active + number

    def ranked() -> tuple[tf.Tensor, tf.Tensor]:
        column, valid = found.at(tf.range(found.most))
        low = filled(thresholds(column), ~valid, last)
        return _ranked(d, low, column, negative)

    sign, active = found.passes(each, ranked, tf.zeros_like(d, tf.int32), tf.zeros_like(anchor))
    return sign, active


def _ranked(d: tf.Tensor, threshold: tf.Tensor, column: tf.Tensor, negative: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the same of thresholds (B, K): a negative of rank r is active for all but the r lowest of them."""
    sorting = tf.argsort(threshold, axis=1)
    threshold, column = columns(threshold, sorting), columns(column, sorting)
    valid = threshold < d.dtype.max
    rank = ranks(threshold, d, "right")
    of_negatives = tf.where(negative, number_of(valid)[:, tf.newaxis] - rank, 0)
    histogram = collected(tf.cast(negative, tf.int32), rank, tf.shape(threshold)[1] + 1, tf.math.unsorted_segment_sum)
    of_positives = tf.where(valid, tf.cumsum(histogram, axis=1)[:, :-1], 0)
    return spread_out(of_positives, column, tf.shape(d)[1]) - of_negatives, tf.reduce_sum(of_positives, axis=-1)


def _center(d: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Return the mean distance of each anchor from its rows, by their counts: as near as the active triplets are."""
    weight = tf.cast(tf.abs(sign), d.dtype)
    whole = tf.maximum(tf.reduce_sum(weight, axis=-1, keepdims=True), 1)
    return tf.reduce_sum(d * (weight / whole), axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="lossproof")
class BatchAllTripletLoss(LabelLoss):
    """`batch_all_triplet_loss` for Keras: `y_true` holds the labels, `y_pred` the embeddings (B, D).

    Options as in the function, but numbers on the host only. There is no mask and no second set: the function is
    the way to leave rows out, and to compare with other rows than those of the batch, in a `train_step`:
    ``batch_all_triplet_loss(self(x), y, candidates=self.memory, candidate_labels=self.names)``.

    `mean` divides by the number of triplets, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        margin: in the unit of the distance, [0, inf).
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows
            that nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 in a
            tf.function or on another device. With more, the terms of the anchor are NaN, and where labels are
            read an error is raised.
        reduction: "none" (the sum of each anchor), "sum", "mean" (over triplets), "mean_nonzero" (over triplets
            that are positive) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import BatchAllTripletLoss
        >>> loss = BatchAllTripletLoss(margin=2.5)
        >>> round(float(loss(np.array([0, 0, 1]), np.array([[0.0], [1.0], [3.0]], "float32"))), 3)
        1.0
    """

    function = staticmethod(batch_all_triplet_loss)

    def __init__(
        self,
        *,
        margin: float = 1.0,
        distance: str = "euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "batch_all_triplet_loss",
    ) -> None:
        super().__init__(
            reduction=reduction, across_replicas=across_replicas, name=name,
            margin=margin, distance=distance, pairwise=pairwise,
            max_positives=max_positives,
        )  # fmt: skip
