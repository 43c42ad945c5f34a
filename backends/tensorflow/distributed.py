"""A batch that is spread over the replicas of a strategy (spec/distributed.md): rows with their gradient, and totals.

A strategy adds the gradients of its replicas up, so what a replica takes the gradient of is its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import arithmetic, batch, describe
from lossproof.backends.tensorflow.candidates import Sets
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.spec.arguments import check_batch, check_bool


@dataclass(frozen=True)
class Replicas:
    """The replica that calls, beside at least one other of its strategy."""

    context: Any  # a tf.distribute.ReplicaContext

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Return the sum of a number over the replicas, without gradient: a denominator (DD-3)."""
        return self.context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(value))

    def every(self, values: tf.Tensor) -> tf.Tensor:
        """Return the values (n, ...) of all replicas in order of their ids, without gradient and exactly: DD-13."""
        return self.context.all_gather(tf.stop_gradient(values), axis=0)

    def before(self, rows: tf.Tensor) -> tf.Tensor:
        """Return how many rows the replicas before this one have: the index of its first row in the union."""
        sizes = self.every(tf.shape(rows, tf.int64)[:1])
        return tf.reduce_sum(sizes[: self.context.replica_id_in_sync_group])


def joined(across_replicas: bool) -> Replicas | None:
    """Return the replica that calls, or None where it is alone (DD-9) or its rows are the batch."""
    check_bool("across_replicas", across_replicas)
    if not across_replicas or tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return None
    if tf.distribute.in_cross_replica_context():
        raise RuntimeError(
            "across_replicas needs a replica context, such as that of a function which the strategy runs with "
            "strategy.run, got the cross-replica context of the strategy"
        )  # DD-18
    return Replicas(tf.distribute.get_replica_context())


def over(replicas: Replicas | None, value: tf.Tensor) -> tf.Tensor:
    """Return what a mean divides by: that of all replicas, where there are some."""
    return value if replicas is None else replicas.total(value)


def union(sets: Sets, replicas: Replicas | None, given: Any) -> Sets:
    """Return the same anchors beside the rows of all replicas, as a second set in which each is its own candidate.

    Rows travel in the dtype in which they were `given`; labels and masks travel exactly, in one exchange.
    """
    if replicas is None:
        return sets
    if sets.second:
        raise ValueError("candidates must be left out with across_replicas, whose rows are the candidates")  # DD-18
    labels = tf.cast(sets.labels, tf.int64)  # of uint64 too: each its own integer
    first = replicas.before(sets.rows)
    known = replicas.every(_packed(labels, sets.takes_part))
    rows = gathered(sets.rows, first, tf.as_dtype(given.dtype))
    named = first + tf.range(tf.shape(sets.rows, tf.int64)[0])  # DD-12
    itself = tf.equal(named[:, tf.newaxis], tf.range(tf.shape(rows, tf.int64)[0]))
    names, take_part = known[:, 0], tf.cast(known[:, 1], tf.bool)
    same = tf.equal(labels[:, tf.newaxis], names)
    return Sets(sets.rows, sets.takes_part, rows, take_part, labels, names, same, itself, second=True, named=named)


def every_row(
    embeddings: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor | None, replicas: Replicas | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Return the rows, labels and masks of all replicas, without gradient, as they were given: DD-17."""
    if replicas is None:
        return embeddings, labels, mask
    batch(mask, labels, embeddings=embeddings)
    labels = tf.convert_to_tensor(labels)
    known = replicas.every(_packed(tf.cast(labels, tf.int64), mask))
    rows = replicas.every(tf.convert_to_tensor(embeddings))
    return rows, tf.cast(known[:, 0], labels.dtype), None if mask is None else tf.cast(known[:, 1], tf.bool)


def _packed(labels: tf.Tensor, takes_part: tf.Tensor | None) -> tf.Tensor:
    """Return labels and masks side by side, (n, 2)."""
    units = tf.ones_like(labels) if takes_part is None else tf.cast(takes_part, tf.int64)
    return tf.stack([labels, units], axis=1)


def gathered(rows: tf.Tensor, first: tf.Tensor, wire: tf.DType) -> tf.Tensor:
    """Return the rows of all replicas, which travel in the dtype `wire`; `first` is the index of the first own one.

    What reaches them is added up in the dtype of the rows, and each replica takes its part: DD-4. Both are operations
    that TensorFlow differentiates again: DD-16.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def exchanged(own: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(received: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            summed = context.all_reduce(tf.distribute.ReduceOp.SUM, received)  # DD-19
            return summed[first : first + tf.shape(own, tf.int64)[0]]

        every = tf.distribute.get_replica_context().all_gather(tf.cast(own, wire), axis=0)
        return tf.cast(every, own.dtype), gradient

    return exchanged(rows)


# what Keras does with a loss


def only_shapes() -> bool:
    """Return whether Keras calls for the shapes of the results alone, as it does before the first step of `fit`.

    It does so in the cross-replica context of the strategy, with placeholders that are like the mean of the first batch
    over the replicas: labels are float64 there, and no replica has rows.
    """
    with keras.SymbolicScope() as scope:
        return scope.original_scope is not None


def as_compiled(value: tf.Tensor, reduction: str, across_replicas: bool) -> tf.Tensor:
    """Return what a loss in `compile` is to return: `fit` adds the gradients of the replicas up.

    A share stays as it is. A mean over the rows of this replica is divided by the number of replicas, as those of
    Keras' own losses are; `fit` multiplies what it reports by that number.
    """
    number = tf.distribute.get_strategy().num_replicas_in_sync
    if across_replicas or number == 1 or reduction in ("none", "sum"):
        return value
    return value * tf.cast(1.0 / number, value.dtype)


def as_added(value: tf.Tensor, reduction: str, across_replicas: bool) -> tf.Tensor:
    """Return what a layer is to return, for `add_loss`: Keras averages over the replicas what it takes.

    What is of the rows of this replica stays as it is. A share is multiplied by the number of replicas: DD-6.
    The threads of the replicas share the list of added losses, so where one waits for the others before it adds its
    own, `fit` reports some of them twice; the gradients are right.
    """
    number = tf.distribute.get_strategy().num_replicas_in_sync
    return value * tf.cast(number, value.dtype) if across_replicas and number > 1 and reduction != "none" else value


def across(across_replicas: bool) -> bool:
    """Return whether a class computes over the replicas: not where Keras asks for shapes."""
    return across_replicas and not only_shapes()


def for_update(across_replicas: bool) -> bool:
    """Return the same of a layer whose state moves; beside other replicas that it does not know, raise: DD-17."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1 and not tf.distribute.in_cross_replica_context()
    if several and not across_replicas:
        raise RuntimeError(
            "update needs across_replicas=True of the layer in the replica context of a strategy: without it the state "
            "of each replica goes its own way"
        )
    return across(across_replicas)


# for losses of one's own


@as_written
def gather_rows(rows: tf.Tensor) -> tf.Tensor:
    """Return the rows of all replicas of the strategy, in order of their ids, with the gradient of one device (DD-4).

    Args:
        rows: rows of shape (n, D), n the number of this replica; float16, bfloat16, float32 or float64.

    Returns:
        The rows (N, D) in their dtype; `rows` itself where the strategy has one replica. The derivative adds up, in
        float32 or wider, what every replica sends to a row, so that a loss that each replica takes of its *own* terms
        among them has the gradient of one device, where gradients are added up over the replicas, as an optimizer does.

    Raises:
        TypeError, ValueError: the rows are not what is described here.
        RuntimeError: there is no replica context.

    Every replica calls it, and takes its gradient, in each step (DD-15). It may be differentiated twice.
    """
    check_batch("rows", *describe("rows", rows))
    replicas = joined(across_replicas=True)
    rows = tf.convert_to_tensor(rows)
    if replicas is None:
        return rows
    first = replicas.before(rows)
    return tf.cast(gathered(tf.cast(rows, arithmetic(rows)), first, rows.dtype), rows.dtype)


@as_written
def total_loss(share: tf.Tensor) -> tf.Tensor:
    """Return the loss of the union from the shares of all replicas, without gradient: the number to log (DD-15).

    Args:
        share: what a loss of this package returned with `across_replicas` for a scalar reduction, of shape ().

    Returns:
        The loss, the same on every replica.

    Raises:
        RuntimeError: there is no replica context.
    """
    return tf.stop_gradient(over(joined(across_replicas=True), tf.convert_to_tensor(share)))
