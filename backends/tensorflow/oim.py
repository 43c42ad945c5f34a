"""OIM loss and the update of its memory (spec/oim.md)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import (
    batch,
    describe,
    filled,
    in_range,
    number,
    real,
    rows_of,
    spoilt,
    table,
)
from lossproof.backends.tensorflow.distributed import across, as_added, every_row, for_update, joined
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.labelled import check_reduction, for_function, for_layer, taken, taken_weights
from lossproof.backends.tensorflow.products import products
from lossproof.backends.tensorflow.reductions import reduce
from lossproof.backends.tensorflow.weights import unit_weights, weighing
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_head,
    check_label_range,
    check_real,
    check_unlabelled,
)


@for_layer("OIMLoss")
def oim_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    lookup_table: tf.Tensor,
    queue: tf.Tensor,
    *,
    temperature: float | tf.Tensor = 0.1,
    unlabelled: int = -1,
    mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    reduction: str = "mean",
    across_replicas: bool = False,
) -> tf.Tensor:
    """Return the OIM loss of a batch.

    ``logsumexp_j(<x, w_j> / temperature) - <x, w_y> / temperature`` for each labelled row x, over the rows w of the
    table and then of the queue.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; a tf.Tensor, tf.Variable or numpy
            array; expected to be of unit length, and not normalised here.
        labels: integers of shape (B,), in [0, C) or `unlabelled`.
        lookup_table: one row for each identity, (C, D), of the dtype of the embeddings or a wider one.
        queue: rows without an identity, (Q, D), the same; Q may be 0.
        temperature: (0, inf); a tensor of shape () is used as it is and not checked.
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum" or "mean" (over the labelled rows that take part).
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows; the
            result is the share of this one. False: the rows of this replica are the batch.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is, else float32. Its gradient reaches the
        embeddings alone.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it. Any other label raises
            in a numpy array and in an eager tensor on the CPU, and makes its own term NaN in others.

    Clauses OI-1 to OI-12, OI-24, CV-1 to CV-46, DD-1 to DD-19. Source: Xiao et al. (2017), eq. 3 and 4.
    """
    replicas = joined(across_replicas)
    temperature = real("temperature", temperature, 0, above=True)  # OI-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    mask, own, x = batch(mask, labels, lookup_table, queue, embeddings=embeddings)
    memory = tf.concat(
        [
            table("lookup_table", lookup_table, x.dtype, "embeddings", embeddings),
            table("queue", queue, x.dtype, "embeddings", embeddings, empty=True),  # OI-6, OI-12
        ],
        axis=0,
    )
    y, known, legal = _identities(own, mask, lookup_table, unlabelled)

    w = unit_weights(weights, known, lookup_table, queue, embeddings=embeddings)  # OI-24
    units: Any = weighing(known, w)
    x = filled(x, ~units[:, tf.newaxis], 0.0)  # OI-3
    tau = tf.maximum(number(temperature, x.dtype), np.finfo(x.dtype.as_numpy_dtype).tiny)
    limit = 0.5 * (float(x.dtype.max) / tf.cast(tf.shape(x)[1], x.dtype)) ** 0.5  # no finite input gives NaN (CV-19)
    x = tf.clip_by_value(x / tau, -limit, limit)
    memory = tf.stop_gradient(tf.clip_by_value(memory, -limit, limit))  # OI-9
    logits = products(x, memory)  # OI-1, OI-2
    terms = -tf.gather(tf.nn.log_softmax(logits), y, axis=1, batch_dims=1)  # OI-5, OI-8
    return reduce(spoilt(terms, ~legal), known, reduction, w, replicas=replicas)  # OI-3, CV-33


def _identities(
    own: tf.Tensor, mask: tf.Tensor | None, lookup_table: tf.Tensor, unlabelled: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return labels kept within the table, who has an identity (and takes part), and whose is in the table."""
    check_unlabelled(unlabelled, lookup_table.shape[0])  # OI-11
    classes, own = rows_of(lookup_table, own)
    holds = own.dtype if isinstance(own, np.ndarray) else own.dtype.as_numpy_dtype
    possible = np.iinfo(holds).min <= unlabelled <= np.iinfo(holds).max
    equal = np.equal if isinstance(own, np.ndarray) else tf.equal
    none = equal(own, np.array(unlabelled if possible else 0, holds))  # OI-4
    none = none & possible
    zeros = np.where if isinstance(own, np.ndarray) else tf.where
    y, legal = in_range(zeros(none, np.zeros((), holds), own), 0, classes - 1)
    known = ~none  # numpy's, where labels are: so are weights, which are looked at then
    return y, known if mask is None else known & mask, legal


@as_written
def update_oim_memory(
    lookup_table: tf.Tensor,
    queue: tf.Tensor,
    head: tf.Tensor,
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    *,
    momentum: float | tf.Tensor = 0.5,
    normalise: bool = True,
    unlabelled: int = -1,
    mask: tf.Tensor | None = None,
    across_replicas: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return table, queue and head after one batch; nothing is differentiated.

    In the order of the batch, a row x of identity y moves the table, ``v_y = momentum * v_y + (1 - momentum) * x``, and
    v_y is divided by its norm; a row without an identity is written at the head of the queue, and the head goes on.

    Args:
        lookup_table: one row for each identity, (C, D); float16, bfloat16, float32 or float64; a tf.Tensor,
            tf.Variable or numpy array.
        queue: rows without an identity, (Q, D), in any of these; Q may be 0.
        head: where the queue is written next, an integer tensor of shape (), in [0, Q).
        embeddings: rows of shape (B, D), of the dtype of table and queue or a narrower one.
        labels: integers of shape (B,), in [0, C) or `unlabelled`. Another one raises in a numpy array and in
            an eager tensor on the CPU; in others its row changes nothing.
        momentum: [0, 1]; a tensor of shape () is used as it is and not checked.
        normalise: divide a row of the table by its norm after every visit; a row that is zero stays zero.
        unlabelled: the label of rows without an identity, outside [0, C).
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN too, changes nothing.
        across_replicas: the batch is spread over the replicas of the strategy, each of which gives its own rows;
            afterwards all have the same. False: the rows of this replica are the batch.

    Returns:
        The new table (C, D), the new queue (Q, D) and the new head (), in their dtypes.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Takes as many steps as the most frequent identity has rows, each for all identities at once.
    Clauses OI-13 to OI-23, DD-17. Source: Xiao et al. (2017), section 3.2.
    """
    gamma = real("momentum", momentum, 0, high=1)  # OI-22
    check_bool("normalise", normalise)
    embeddings, labels, mask = every_row(embeddings, labels, mask, joined(across_replicas))  # DD-17
    mask, own, x = batch(mask, labels, lookup_table, queue, embeddings=embeddings)
    v = table("lookup_table", lookup_table, x.dtype, "embeddings", embeddings)
    q = table("queue", queue, x.dtype, "embeddings", embeddings, empty=True)
    check_head(*describe("head", head))  # OI-21
    if isinstance(head, np.ndarray) and q.shape[0] is not None:
        check_label_range("head", int(head), int(head), 0, max(q.shape[0] - 1, 0))
    y, known, legal = _identities(own, mask, v, unlabelled)
    v, q, x, gamma = map(tf.stop_gradient, (v, q, x, number(gamma, v.dtype)))  # OI-20
    pushed = ~known if mask is None else ~known & mask

    v = _visited(v, x, y, known & legal, gamma, normalise)  # OI-19
    q, head = _pushed(q, tf.convert_to_tensor(head), x, pushed)
    return tf.cast(v, lookup_table.dtype), tf.cast(q, queue.dtype), head


def _visited(
    v: tf.Tensor, x: tf.Tensor, y: tf.Tensor, known: tf.Tensor, gamma: tf.Tensor, normalise: bool
) -> tf.Tensor:
    """Return the table after the rows that are `known` visited it, one identity's in their order (OI-15)."""
    number_ = tf.range(tf.shape(x)[0])
    same = tf.equal(y[:, tf.newaxis], y) & known & known[:, tf.newaxis]
    earlier = tf.where(same & (number_[:, tf.newaxis] > number_), number_, -1)
    # the row that visits the same identity before this one, -1 if there is none
    before = tf.maximum(tf.reduce_max(earlier, axis=1), -1)
    start = tf.gather(v, y)
    first = before[:, tf.newaxis] < 0

    def visit(step: tf.Tensor, after: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Let every row visit after the row before it; a row is right as soon as those before it are."""
        moved = gamma * tf.where(first, start, tf.gather(after, tf.maximum(before, 0))) + (1 - gamma) * x  # OI-13
        return step + 1, _unit(moved) if normalise else moved  # OI-14

    steps = tf.reduce_max(tf.math.count_nonzero(earlier >= 0, axis=1, dtype=tf.int32)) + 1
    _, after = tf.while_loop(lambda step, _: step < steps, visit, (tf.constant(0), start))
    last = tf.maximum(tf.math.unsorted_segment_max(tf.where(known, number_, -1), y, tf.shape(v)[0]), -1)
    # one row more, so that a batch of no rows has a last one too
    after = tf.concat([after, tf.zeros_like(v[:1])], axis=0)
    return tf.where(last[:, tf.newaxis] < 0, v, tf.gather(after, tf.maximum(last, 0)))  # others do not change


def _unit(rows: tf.Tensor) -> tf.Tensor:
    """Divide each row by its norm, in units of its largest size; a row that is zero stays zero (OI-16)."""
    largest = tf.reduce_max(tf.abs(rows), axis=1, keepdims=True)
    rows /= filled(largest, largest < np.finfo(rows.dtype.as_numpy_dtype).tiny, 1.0)
    square = tf.reduce_sum(rows * rows, axis=1, keepdims=True)
    return rows / tf.sqrt(filled(square, tf.equal(square, 0.0), 1.0))


def _pushed(q: tf.Tensor, head: tf.Tensor, x: tf.Tensor, pushed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return queue and head after the rows that are `pushed` were written one after the other (OI-17)."""
    count, rows = tf.math.count_nonzero(pushed, dtype=tf.int64), tf.shape(q, out_type=tf.int64)[0]
    at, size = tf.cast(head, tf.int64), tf.maximum(rows, 1)  # without rows the head stays 0: OI-21
    turn = tf.math.floormod(tf.range(rows) - at, size)  # which of the rows of the batch is written here first
    newest = turn + size * tf.math.floordiv(count - 1 - turn, size)  # and which last: OI-18
    order = tf.argsort(tf.cast(~pushed, tf.int32), stable=True)  # their places in the batch come first
    order = tf.concat([order, [0]], axis=0)  # one more, so that a batch of no rows has one too
    x = tf.concat([x, tf.zeros([1, tf.shape(x)[1]], x.dtype)], axis=0)
    written = tf.gather(x, tf.gather(order, tf.clip_by_value(newest, 0, tf.maximum(count - 1, 0))))
    queue = tf.where(turn[:, tf.newaxis] < count, written, q)
    return queue, tf.cast(tf.math.floormod(at + count, size), head.dtype)


@keras.saving.register_keras_serializable(package="lossproof")
class OIMLoss(keras.layers.Layer):  # type: ignore[misc]
    """`oim_loss` as a layer: table, queue and head are its weights, zero at first, and `update` moves them.

    A call returns the loss of the memory as it is; `update` is called after it, in a training step of one's own. Labels
    may be (B,) or (B, 1), and whole numbers in floats. The embeddings may be narrower than the memory, and a
    mixed-precision policy does not change the loss.

    `mean` divides by the number of labelled rows, whatever `weights` are, as Keras' `sum_over_batch_size` does.
    `mean_with_sample_weight` divides by the sum of their weights, as `mean` of the function does.

    Args:
        num_identities: rows of the table of identities, at least 1.
        queue_size: rows of the queue of unlabelled rows; 0 for none.
        num_features: length of a row of the embeddings.
        temperature: (0, inf).
        momentum: share that an identity keeps of its row in `update`, [0, 1].
        normalise: whether `update` brings a row to unit length.
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        reduction: "none", "sum", "mean" (over the labelled rows that take part) or "mean_with_sample_weight".
        across_replicas: the batch is spread over the replicas of the strategy, and the result is their number times the
            share of this one, for Keras averages over them what `add_loss` takes; False: each has a batch of its own.
        **layer: what every Keras layer takes: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from lossproof.backends.tensorflow import OIMLoss
        >>> loss = OIMLoss(num_identities=2, queue_size=1, num_features=2, temperature=1.0)
        >>> rows, labels = np.array([[1.0, 0.0], [0.0, 2.0]], "float32"), np.array([0, 1])
        >>> round(float(loss(rows, labels)), 3)
        1.099
        >>> loss.update(rows, labels)
        >>> round(float(loss(rows, labels)), 3)
        0.395
    """

    def __init__(
        self,
        num_identities: int,
        queue_size: int,
        num_features: int,
        *,
        temperature: float = 0.1,
        momentum: float = 0.5,
        normalise: bool = True,
        unlabelled: int = -1,
        reduction: str = "mean",
        across_replicas: bool = False,
        **layer: Any,
    ) -> None:
        check_real("temperature", temperature, 0, above=True)  # OI-10
        check_real("momentum", momentum, 0, high=1)  # OI-22
        check_bool("normalise", normalise)
        check_unlabelled(unlabelled, num_identities)  # OI-11
        check_reduction(reduction, REDUCTIONS[:3])
        check_bool("across_replicas", across_replicas)
        super().__init__(autocast=False, **layer)
        self.across_replicas = across_replicas
        self.sizes = {"num_identities": num_identities, "queue_size": queue_size, "num_features": num_features}
        self.options: dict[str, Any] = {
            "temperature": float(temperature),
            "unlabelled": unlabelled,
            "reduction": reduction,
        }
        self.memory_options: dict[str, Any] = {
            "momentum": float(momentum), "normalise": normalise, "unlabelled": unlabelled,
        }  # fmt: skip
        zeros = {"initializer": "zeros", "trainable": False, "autocast": False}
        self.lookup_table = self.add_weight(shape=(num_identities, num_features), name="lookup_table", **zeros)
        self.queue = self.add_weight(shape=(queue_size, num_features), name="queue", **zeros)
        self.head = self.add_weight(shape=(), dtype="int32", name="head", **zeros)

    @as_written
    def call(
        self, embeddings: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor | None = None, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the loss of the rows; see `oim_loss`."""
        labels, embeddings = taken(labels, embeddings)
        lookup_table, queue = map(tf.convert_to_tensor, (self.lookup_table, self.queue))
        units: dict[str, Any] = {"mask": mask, "weights": taken_weights("weights", weights, embeddings=embeddings)}
        reduction = self.options["reduction"]
        units |= {"reduction": for_function(reduction), "across_replicas": across(self.across_replicas)}
        found = oim_loss(embeddings, labels, lookup_table, queue, **{**self.options, **units})
        return as_added(found, reduction, self.across_replicas)

    def update(self, embeddings: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        """Move the memory as `update_oim_memory` does; call it after the forward pass.

        Beside other replicas the layer needs `across_replicas`.
        """
        options = {**self.memory_options, "across_replicas": for_update(self.across_replicas)}  # DD-17
        labels, embeddings = taken(labels, embeddings)
        lookup_table, queue, head = map(tf.convert_to_tensor, (self.lookup_table, self.queue, self.head))
        memory = update_oim_memory(lookup_table, queue, head, embeddings, labels, mask=mask, **options)
        for variable, value in zip((self.lookup_table, self.queue, self.head), memory, strict=True):
            variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        """Return sizes and options, from which `from_config` builds an equal layer."""
        across_replicas = {"across_replicas": self.across_replicas}
        return {**super().get_config(), **self.sizes, **self.options, **self.memory_options, **across_replicas}
