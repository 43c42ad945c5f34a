"""Batch-hard triplet loss (spec/batch_hard.md)."""

from __future__ import annotations

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import filled, number, real, spoilt
from lossproof.backends.tensorflow.candidates import as_sets
from lossproof.backends.tensorflow.distributed import joined, union
from lossproof.backends.tensorflow.labelled import LabelLoss, for_compile
from lossproof.backends.tensorflow.pairwise import floored_distance, lowest_index, mining_distances
from lossproof.backends.tensorflow.reductions import reduce, softened
from lossproof.backends.tensorflow.weights import constant_where_0, unit_weights
from lossproof.spec.arguments import REDUCTIONS, check_bool, check_choice, check_pair_distance, check_soft_margin


@for_compile("BatchHardTripletLoss")
def batch_hard_triplet_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    margin: float | tf.Tensor = 0.3,
    soft_margin: bool = False,
    distance: str = "euclidean",
    floor: float = 0.0,
    include_self: bool = False,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    candidates: tf.Tensor | None = None,
    candidate_labels: tf.Tensor | None = None,
    candidate_mask: tf.Tensor | None = None,
    candidate_index: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the batch-hard triplet loss.

    ``max(0, margin + max_p d(a, p) - min_n d(a, n))`` for each anchor a, over the positives p and the negatives n of
    the batch; with `soft_margin` ``log(1 + exp(max_p d(a, p) - min_n d(a, n)))``.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or numpy
            array.
        labels: integers of shape (B,).
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked. Left at
            its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
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
        reduction: "none", "sum", "mean" (over anchors that take part) or "mean_nonzero" (over those that are
            positive).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    An anchor without a positive or without a negative takes no part. Of rows that tie, the lowest index alone gets
    gradient; the hinge at 0, coincident rows and distances at the floor have gradient 0. Memory is O(B^2),
    or O(B M).
    Clauses BH-1 to BH-12, PW-1 to PW-5, PW-9 to PW-14, CV-1 to CV-46, DD-1 to DD-19. Source: Hermans, Beyer & Leibe
    (2017), eq. 5.

    Example:
        A batch against a memory of past rows, in which its second row stands too:

        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import batch_hard_triplet_loss
        >>> memory = {"candidates": np.array([[1.0], [3.0], [4.0]], "float32"), "candidate_labels": np.array([0, 1, 0])}
        >>> memory["candidate_index"] = np.array([-1, 1])
        >>> batch = np.array([[0.0], [3.0]], "float32"), np.array([0, 1])
        >>> float(batch_hard_triplet_loss(*batch, **memory, margin=1.0, reduction="sum"))
        2.0
    """
    replicas = joined(across_replicas)
    margin = real("margin", margin, 0)
    check_soft_margin(soft_margin, margin, 0.3)  # BH-4
    check_pair_distance(distance, floor)  # PW-1, PW-3
    check_bool("include_self", include_self)
    check_choice("reduction", reduction, REDUCTIONS)  # CV-27
    w = unit_weights(weights, mask, candidates, embeddings=embeddings)
    sets = as_sets(embeddings, labels, mask, candidates, candidate_labels, candidate_mask, candidate_index)
    sets = union(sets, replicas, embeddings)
    positive, negative = sets.pairs(include_self=include_self)  # BH-3, BH-12, PW-2, PW-9
    anchors = tf.reduce_any(positive, axis=-1) & tf.reduce_any(negative, axis=-1)  # BH-2
    sets, whole, others = sets.cleared(_known)

    order = mining_distances(sets, distance)  # BH-7
    far, itself = sets.met(lowest_index(order, positive, largest=True), anchors)  # BH-1, BH-8
    near, _ = sets.met(lowest_index(order, negative, largest=False), anchors)
    own, far, near = constant_where_0(w, sets.rows, far, near)  # BH-11
    ap = floored_distance(own, far, distance, float(floor))  # BH-5
    an = floored_distance(own, near, distance, float(floor))
    slack = tf.where(itself, tf.stop_gradient(ap), ap) - an  # BH-10
    if soft_margin:
        terms, reduction = softened(slack, reduction)  # BH-4
    else:
        slack = number(margin, slack.dtype) + slack
        terms = filled(slack, slack <= 0, 0.0)  # BH-1, BH-9
    terms = spoilt(terms, sets.unknown(whole, others))  # PW-5, PW-12, PW-14
    return reduce(terms, anchors, reduction, w, replicas=replicas)


def _known(rows: tf.Tensor) -> tf.Tensor:
    return ~tf.math.is_nan(rows)


@keras.saving.register_keras_serializable(package="lossproof")
class BatchHardTripletLoss(LabelLoss):
    """`batch_hard_triplet_loss` for Keras: `y_true` holds the labels, `y_pred` the embeddings (B, D).

    Options as in the function, but numbers on the host only. There is no mask and no second set: the function is
    the way to leave rows out, and to compare with other rows than those of the batch, in a `train_step`:
    ``batch_hard_triplet_loss(self(x), y, candidates=self.memory, candidate_labels=self.names)``.

    `mean` divides by the number of anchors, whatever `sample_weight` is, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        margin: in the unit of the distance, [0, inf). Left at its default with `soft_margin`.
        soft_margin: the softplus in place of the hinge.
        distance: "euclidean", "squared_euclidean" or "cosine".
        floor: least squared distance, [0, inf); 0 with "cosine".
        include_self: whether an anchor is one of its own positives.
        reduction: "none", "sum", "mean" (over anchors that take part), "mean_nonzero" (over those that are
            positive) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy; False: each has a batch of its own, as
            with the losses of Keras.
        name: name of the loss in Keras.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import BatchHardTripletLoss
        >>> loss = BatchHardTripletLoss(margin=2.5)
        >>> round(float(loss(np.array([0, 0, 1]), np.array([[0.0], [1.0], [3.0]], "float32"))), 3)
        1.0
    """

    function = staticmethod(batch_hard_triplet_loss)

    def __init__(
        self,
        *,
        margin: float = 0.3,
        soft_margin: bool = False,
        distance: str = "euclidean",
        floor: float = 0.0,
        include_self: bool = False,
        reduction: str = "mean",
        across_replicas: bool = False,
        name: str = "batch_hard_triplet_loss",
    ) -> None:
        super().__init__(
            reduction=reduction, across_replicas=across_replicas, name=name,
            margin=margin, soft_margin=soft_margin, distance=distance, floor=floor,
            include_self=include_self,
        )  # fmt: skip
