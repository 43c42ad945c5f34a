"""Semi-hard triplet loss (spec/semi_hard.md)."""

from __future__ import annotations

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, followed, number, real, spoilt
from lossproof.backends.tensorflow.candidates import as_sets
from lossproof.backends.tensorflow.distributed import joined, union
from lossproof.backends.tensorflow.labelled import LabelLoss, for_compile
from lossproof.backends.tensorflow.pairwise import set_distances
from lossproof.backends.tensorflow.positives import (
    Positives,
    collected,
    columns,
    number_of_candidates,
    positives,
    ranks,
    spread_out,
)
from lossproof.backends.tensorflow.reductions import reduce, softened
from lossproof.backends.tensorflow.weights import unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_pair_distance, check_pairwise, check_soft_margin


@for_compile("SemiHardTripletLoss")
def semi_hard_triplet_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    margin: float | tf.Tensor = 1.0,
    soft_margin: bool = False,
    distance: str = "squared_euclidean",
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
    """Return the semi-hard triplet loss.

    ``max(0, margin + d(a, p) - d(a, n))`` for each anchor a and each positive p of it, where n is the nearest negative
    that is farther than p, or the farthest negative where none is; with `soft_margin`
    ``log(1 + exp(d(a, p) - d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or numpy
            array.
        labels: integers of shape (B,). Outside a tf.function, on the CPU, they are read for the largest number of
            positives.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
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
        reduction: "none", "sum", "mean" (over positive pairs that take part) or "mean_nonzero" (over those that are
            positive).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: for "none" of shape (B, B), or (B, M) with candidates, with 0 off the pairs that take part, else ();
        float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A pair whose anchor has no negative takes no part. A negative as far as the positive is not farther; of negatives
    that tie, the lowest index alone gets gradient; the hinge at 0 and coincident rows have gradient 0. Memory is
    O(B^2), or O(B M).
    Clauses SH-1 to SH-13, PW-1 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Schroff et al. (2015), section 3.2;
    tf.contrib.
    """
    replicas = joined(across_replicas)
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 1.0)  # SH-12
    check_pair_distance(distance)  # PW-1
    check_pairwise(pairwise, max_positives)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, candidates, embeddings=embeddings)
    w = None if w is None else w[:, tf.newaxis]  # SH-11
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, replicas, embeddings)
    margin = number(margin, sets.rows.dtype)
    positive, negative = sets.pairs()  # PW-2, PW-9
    sets, whole, others = sets.cleared(tf.math.is_finite)  # such a row would reach every distance: SH-10
    d = set_distances(sets, whole, others, distance, pairwise)
    found = positives(sets, positive, max_positives)
    column, valid = found.at(tf.range(found.most))
    pairs = valid & tf.reduce_any(negative, axis=-1, keepdims=True)  # SH-4
    fixed = tf.stop_gradient(d)
    chosen = _chosen(fixed, filled(columns(fixed, column), ~valid, d.dtype.max), negative, found)
    ap, an = columns(d, column), columns(d, chosen)  # SH-7
    if soft_margin:
        terms, reduction = softened(ap - an, reduction)  # SH-12
    else:
        slack = margin + ap - an
        terms = filled(slack, slack <= 0, 0.0)  # SH-1, SH-9
    unknown = tf.reduce_any(negative & ~others, axis=-1) | ~whole | found.crowded
    unknown = unknown if sets.wild is None else unknown | sets.wild  # PW-14
    broken = unknown[:, tf.newaxis] | tf.gather(~others, column)
    terms = spoilt(terms, broken)  # SH-10, PW-8
    if reduction != "none":
        return reduce(terms, pairs, reduction, w, replicas=replicas)
    full = spread_out(filled(terms, ~pairs, 0.0), column, number_of_candidates(sets))
    full = spoilt(full, (found.crowded & tf.reduce_any(negative, axis=-1))[:, tf.newaxis] & positive)
    if w is None:
        return full
    return reduce(full, positive & tf.reduce_any(negative, axis=-1, keepdims=True), reduction, w, replicas=replicas)


def _chosen(d: tf.Tensor, near: tf.Tensor, negative: tf.Tensor, found: Positives) -> tf.Tensor:
    """Return the nearest negative that is farther than each positive, or the farthest where none is: (B, K)."""
    last = d.dtype.max  # which no distance reaches
    away = filled(d, ~negative, last)
    far = followed(filled(d, ~negative, -1.0), -2.0)
    farthest = tf.argmax(far, axis=1, output_type=tf.int32)[:, tf.newaxis]  # SH-3, SH-8

    def each(k: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor]:
        farther = filled(away, away <= near[:, k, tf.newaxis], last)  # SH-2
        nearest = tf.argmin(farther, axis=1, output_type=tf.int32)[:, tf.newaxis]  # SH-8
        picked = tf.where(columns(farther, nearest) < last, nearest, farthest)
        return (tf.where(tf.equal(tf.range(tf.shape(near)[1]), k), picked, chosen),)

    def ranked() -> tuple[tf.Tensor]:
        sorting = tf.argsort(near, axis=1)
        chosen = columns(_ranked(d, columns(near, sorting), negative), tf.argsort(sorting, axis=1))
        return (tf.where(chosen < 0, farthest, chosen),)

    return found.passes(each, ranked, tf.broadcast_to(farthest, tf.shape(near)))[0]


def _ranked(d: tf.Tensor, near: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """Return the nearest negative that is farther than each of the sorted positives (B, K); -1 where there is none.

    A negative of rank r is farther than the r nearest positives. All of rank r are nearer than all of a higher rank,
    so the positive at place k takes the nearest one of the first rank above k that has any.
    """
    count, places = tf.shape(d)[1], tf.shape(near)[1]
    rank = tf.where(negative, ranks(near, d, "left"), 0)  # SH-2; rank 0 is never taken
    least = collected(d, rank, places + 1, tf.math.unsorted_segment_min)
    is_least = negative & tf.equal(d, tf.gather(least, rank, batch_dims=1))
    column = tf.where(is_least, tf.range(count), count)
    lowest = tf.minimum(collected(column, rank, places + 1, tf.math.unsorted_segment_min), count)  # SH-8
    # The ranks that have any, pushed to the front: the first one above place k has as many before it as are at most k.
    some = tf.cast(lowest < count, tf.int32)
    before = tf.cumsum(some, axis=1, exclusive=True)
    rank_or_none = tf.where(some > 0, tf.range(places + 1), places + 1)
    listed = collected(rank_or_none, before, places + 2, tf.math.unsorted_segment_min)
    above = tf.gather(listed, before[:, 1:], batch_dims=1)
    nearest = tf.gather(lowest, tf.minimum(above, places), batch_dims=1)
    return tf.where(above > places, -1, nearest)


@keras.saving.register_keras_serializable(package="lossproof")
class SemiHardTripletLoss(LabelLoss):
    """`semi_hard_triplet_loss` for Keras: `y_true` holds the labels, `y_pred` the embeddings (B, D).

    Options as in the function, but numbers on the host only. There is no mask and no second set: the function is
    the way to leave rows out, and to compare with other rows than those of the batch, in a `train_step`:
    ``semi_hard_triplet_loss(self(x), y, candidates=self.memory, candidate_labels=self.names)``.

    `mean` divides by the number of pairs, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        margin: in the unit of the distance, [0, inf). Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        pairwise: "gram", one matrix product, or "direct", differences of rows: slower, and accurate for rows
            that nearly coincide.
        max_positives: the most positives that an anchor may have; None, as many as there are, and B - 1 in a
            tf.function or on another device. With more, the terms of the anchor are NaN, and where labels are
            read an error is raised.
        reduction: "none", "sum", "mean" (over positive pairs that take part), "mean_nonzero" (over those
            that are positive) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import SemiHardTripletLoss
        >>> loss = SemiHardTripletLoss(margin=10.0)
        >>> round(float(loss(np.array([0, 0, 1]), np.array([[0.0], [1.0], [3.0]], "float32"))), 3)
        4.5
    """

    function = staticmethod(semi_hard_triplet_loss)

    def __init__(
        self,
        *,
        margin: float = 1.0,
        soft_margin: bool = False,
        distance: str = "squared_euclidean",
        pairwise: str = "gram",
        max_positives: int | None = None,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "semi_hard_triplet_loss",
    ) -> None:
        super().__init__(
            reduction=reduction, across_replicas=across_replicas, name=name,
            margin=margin, soft_margin=soft_margin, distance=distance,
            pairwise=pairwise, max_positives=max_positives,
        )  # fmt: skip
