"""Bugs that show in one way of calling alone: a stack of calls, an old graph, forward mode, a look-out for NaN.

Each is a small loss in TensorFlow that is right when it is called plainly. TensorFlow is imported by the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.mutants import Mutant, table


def _wide(tf: Any, *rows: Any) -> list[Any]:
    dtype = tf.float64 if rows[0].dtype == tf.float64 else tf.float32
    return [tf.cast(row, dtype) for row in rows]


def _reduced(tf: Any, terms: Any, reduction: str) -> Any:
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction: {reduction!r}")
    if reduction == "none":
        return terms
    count = tf.cast(tf.maximum(tf.size(terms), 1), terms.dtype)
    return tf.reduce_sum(terms) / (count if reduction == "mean" else 1)


def _root(tf: Any, square: Any) -> Any:
    zero = tf.equal(square, 0)  # and NaN stays
    return tf.where(zero, tf.zeros_like(square), tf.sqrt(tf.where(zero, tf.ones_like(square), square)))


def _batch_hard(
    farthest: Callable[..., Any] | None = None, nearest: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return the batch-hard loss with the choice of a positive or of a negative replaced."""

    def batch_hard_triplet_loss(embeddings: Any, labels: Any, *, margin: float = 0.3, reduction: str = "mean") -> Any:
        import tensorflow as tf

        (x,) = _wide(tf, embeddings)
        d = _root(tf, tf.reduce_sum((x[:, None] - x) ** 2, -1))
        same = tf.equal(labels[:, None], labels)
        positive, negative = same & ~tf.eye(tf.shape(x)[0], dtype=tf.bool), ~same
        some = tf.reduce_any(positive, 1) & tf.reduce_any(negative, 1)
        largest = tf.reduce_max(tf.where(positive, d, d.dtype.min), 1)
        least = tf.reduce_min(tf.where(negative, d, d.dtype.max), 1)
        far, near = farthest(tf, d, positive) if farthest else largest, nearest(tf, d, negative) if nearest else least
        terms = tf.nn.relu(margin + tf.where(some, far - near, -margin * tf.ones_like(far)))
        if reduction != "mean":
            return _reduced(tf, terms, reduction)
        return tf.reduce_sum(terms) / tf.cast(tf.maximum(tf.math.count_nonzero(some), 1), terms.dtype)

    return batch_hard_triplet_loss


def _not_less(tf: Any, d: Any, chosen: Any, found: Any) -> Any:
    unknown = tf.reduce_any(chosen & ~(d <= d.dtype.max), 1)  # a graph makes d > max of it, which no NaN is
    return tf.where(unknown, float("nan") * tf.ones_like(found), found)


def _far(tf: Any, d: Any, positive: Any) -> Any:
    largest = tf.reduce_max(tf.where(positive & ~tf.math.is_nan(d), d, d.dtype.min), 1)
    return _not_less(tf, d, positive, largest)


def _near(tf: Any, d: Any, negative: Any) -> Any:
    least = tf.reduce_min(tf.where(negative & ~tf.math.is_nan(d), d, d.dtype.max), 1)
    return _not_less(tf, d, negative, least)


def _padded(tf: Any, d: Any, negative: Any) -> Any:
    far = tf.pad(tf.where(negative, d, d.dtype.max), [[0, 0], [0, 1]], constant_values=d.dtype.max)
    return tf.reduce_min(far, 1)


def _infinite(tf: Any, d: Any, negative: Any) -> Any:
    return tf.minimum(tf.reduce_min(tf.where(negative, d, float("inf")), 1), d.dtype.max)


def _cross_entropy(
    own: Callable[..., Any] | None = None, total: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return the cross-entropy with its way to the logit of the label, or to that of the sum, replaced."""

    def cross_entropy_loss(logits: Any, labels: Any, *, reduction: str = "mean") -> Any:
        import tensorflow as tf

        (z,) = _wide(tf, logits)
        y = tf.cast(labels, tf.int32)
        label = own(tf, z, y) if own else tf.reduce_sum(tf.one_hot(y, tf.shape(z)[1], dtype=z.dtype) * z, -1)
        return _reduced(tf, (total(tf, z) if total else tf.reduce_logsumexp(z, -1)) - label, reduction)

    return cross_entropy_loss


def _identical(tf: Any, z: Any, labels: Any) -> Any:
    return tf.reduce_sum(tf.cast(labels[:, None] == tf.range(tf.shape(z)[1]), z.dtype) * z, -1)


def _least(tf: Any, z: Any, labels: Any) -> Any:
    return tf.reduce_max(tf.where(tf.equal(labels[:, None], tf.range(tf.shape(z)[1])), z, -float("inf")), -1)


def _eight_classes(tf: Any, z: Any) -> Any:
    wide = tf.pad(z, [[0, 0], [0, -z.shape[1] % 8]], constant_values=-1e30)
    return tf.reduce_logsumexp(wide, -1)


def _by_hand(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the center loss with a gradient that is written by hand."""

    def center_loss(embeddings: Any, labels: Any, centers: Any, *, reduction: str = "mean") -> Any:
        import tensorflow as tf

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def halved_squares(t: Any) -> Any:
            return forward(tf, t), lambda upstream: upstream[..., None] * t

        x, c = _wide(tf, embeddings, centers)
        return _reduced(tf, halved_squares(x - tf.gather(c, labels)), reduction)

    return center_loss


def _stopped(tf: Any, t: Any) -> Any:
    return 0.5 * tf.reduce_sum(tf.stop_gradient(t) ** 2, -1)


def _in_numpy(tf: Any, t: Any) -> Any:
    found = tf.numpy_function(lambda t: 0.5 * (t * t).sum(-1), [t], t.dtype)
    return tf.ensure_shape(found, t.shape[:-1])


def _compared(embeddings: Any, labels: Any, *, margin: float = 0.25, gamma: float = 256.0) -> Any:
    """Return the circle loss; in an old graph `==` compares no labels, and every pair is a negative."""
    import tensorflow as tf

    (x,) = _wide(tf, embeddings)
    u = x / tf.sqrt(tf.reduce_sum(x * x, -1, keepdims=True))
    s, same = tf.matmul(u, u, transpose_b=True), tf.cast(labels[:, None] == labels, x.dtype) * tf.ones_like(u[:, :1])
    itself = tf.eye(tf.shape(x)[0], dtype=x.dtype)
    sums = []
    for sign, chosen in ((1.0, same * (1 - itself)), (-1.0, 1 - same)):
        away = (1 + margin - s) if sign > 0 else (s + margin)
        exponent = gamma * tf.stop_gradient(tf.nn.relu(away)) * ((1 - margin - s) if sign > 0 else (s - margin))
        sums.append(tf.reduce_logsumexp(exponent + 1e30 * (chosen - 1), -1))
    terms = tf.where(tf.minimum(*sums) > -1e29, tf.math.softplus(sums[0] + sums[1]), tf.zeros_like(sums[0]))
    return _reduced(tf, terms, "mean")


def _mutant(name: str, bug: str, clause: str, function: Any, loss: str, seen: str = "") -> Mutant:
    return Mutant(
        f"tensorflow-{name}", bug, (clause,), function, seen, ours=clause == "CV-36", loss=loss, framework="tensorflow"
    )


HARD, ENTROPY = "batch_hard_triplet_loss", "cross_entropy_loss"
MUTANTS: dict[str, Mutant] = table(
    _mutant("padded", "in a stack of calls a row is padded with 0, whatever the number it was to be padded with", "CV-22",
        _batch_hard(nearest=_padded), HARD, "tf.vectorized_map drops constant_values of tf.pad"),
    Mutant("tensorflow-not-less", "in a graph a NaN is not found, for `not a <= b` becomes `a > b` there", ("CV-10", "CV-22"),
        _batch_hard(_far, _near), "tf.function", loss=HARD, framework="tensorflow"),
    _mutant("eight-classes", "in a stack of calls the classes that fill the row up have logit 0", "CV-22",
        _cross_entropy(total=_eight_classes), ENTROPY, "tf.vectorized_map drops constant_values of tf.pad"),
    _mutant("identical", "in an old graph no class is that of the label, for == is identity there", "CV-22",
        _cross_entropy(_identical), ENTROPY, "TensorFlow 1"),
    _mutant("compared", "in an old graph no two labels are the same, for == is identity there", "CV-22", _compared,
        "circle_loss", "TensorFlow 1"),
    _mutant("stopped", "the value is that of a stopped row, so forward mode, which asks for no gradient written by hand, gives 0", "CV-22",
        _by_hand(_stopped), "center_loss"),
    _mutant("in-numpy", "the value is computed in numpy, so forward mode gives 0", "CV-22",
        _by_hand(_in_numpy), "center_loss"),
    _mutant("infinite-filler", "infinity stands where a row is no negative", "CV-36", _batch_hard(nearest=_infinite), HARD),
    _mutant("infinite-logit", "minus infinity stands where a class is not that of the label", "CV-36",
        _cross_entropy(_least), ENTROPY),
)  # fmt: skip
