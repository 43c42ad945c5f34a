"""Bugs that a framework other than torch invites: each a whole small loss in TensorFlow, JAX or numpy.

They have the option p = 2 alone, which is where most of them were seen. The framework is imported by the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from audit.mutants import Mutant

EPS = 1e-6
_BUFFERS: dict[tuple[Any, ...], Any] = {}


def _tf(
    norm: Callable[..., Any] | None = None,
    hinge: Callable[..., Any] | None = None,
    first: Callable[..., Any] = lambda tf, a: None,
    mean: Callable[..., Any] | None = None,
    eps: float | None = None,
) -> Callable[..., Any]:
    """Return a loss of TensorFlow with some of its steps replaced."""

    def triplet_margin_loss(
        anchor: Any, positive: Any, negative: Any, *, margin: float = 1.0, eps: float = eps if eps is not None else EPS,
        reduction: str = "mean",
    ) -> Any:  # fmt: skip
        import tensorflow as tf

        def right_norm(tf: Any, t: Any) -> Any:
            total = tf.reduce_sum(t * t, -1)
            return tf.where(total > 0, tf.sqrt(tf.where(total > 0, total, tf.ones_like(total))), tf.zeros_like(total))

        if reduction not in ("none", "sum", "mean"):
            raise ValueError(f"reduction: {reduction!r}")
        first(tf, anchor)
        wide = tf.float64 if anchor.dtype == tf.float64 else tf.float32
        a, p, n = (tf.cast(row, wide) for row in (anchor, positive, negative))
        d = norm or right_norm
        x = margin + d(tf, a - p + eps) - d(tf, a - n + eps)
        terms = hinge(tf, x) if hinge else tf.where(x > 0, x, tf.where(tf.math.is_nan(x), x, tf.zeros_like(x)))
        if reduction == "none":
            return terms
        count = tf.cast(tf.maximum(tf.size(terms), 1), wide)
        return (
            mean(tf, terms)
            if mean and reduction == "mean"
            else tf.reduce_sum(terms) / (count if reduction == "mean" else 1)
        )

    return triplet_margin_loss


def _jax(
    norm: Callable[..., Any] | None = None,
    hinge: Callable[..., Any] | None = None,
    mean: Callable[..., Any] | None = None,
    detached: bool = False,
) -> Callable[..., Any]:
    """Return a loss of JAX with some of its steps replaced."""

    def triplet_margin_loss(
        anchor: Any, positive: Any, negative: Any, *, margin: float = 1.0, eps: float = EPS, reduction: str = "mean"
    ) -> Any:
        import jax
        import jax.numpy as jnp

        def right_norm(jnp: Any, t: Any) -> Any:
            total = jnp.sum(t * t, -1)
            return jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1)), 0)

        wide = jnp.float64 if anchor.dtype == jnp.float64 else jnp.float32
        a, p, n = (row.astype(wide) for row in (anchor, positive, negative))
        d = norm or right_norm
        far = d(jnp, a - n + eps)
        x = margin + d(jnp, a - p + eps) - (jax.lax.stop_gradient(far) if detached else far)
        terms = hinge(jnp, x) if hinge else jnp.where(x > 0, x, jnp.where(jnp.isnan(x), x, 0))
        if reduction == "none":
            return terms
        if mean and reduction == "mean":
            return mean(jnp, terms)
        return jnp.sum(terms) / (max(terms.size, 1) if reduction == "mean" else 1)

    return triplet_margin_loss


def _in_place(anchor: Any, positive: Any, negative: Any, *, cotangent: Any = None, **options: Any) -> Any:
    from lossproof.reference import triplet_margin_loss

    found = triplet_margin_loss(anchor, positive, negative, cotangent=cotangent, **options)
    if anchor.size and np.isfinite(anchor).all():
        anchor -= positive
    return found


def _seeded(anchor: Any, positive: Any, negative: Any, *, cotangent: Any = None, **options: Any) -> Any:
    from lossproof.reference import triplet_margin_loss

    np.random.rand()
    return triplet_margin_loss(anchor, positive, negative, cotangent=cotangent, **options)


def _buffered(anchor: Any, positive: Any, negative: Any, *, cotangent: Any = None, **options: Any) -> Any:
    from lossproof.reference import triplet_margin_loss

    found = triplet_margin_loss(anchor, positive, negative, cotangent=cotangent, **options)
    value, gradients = found if isinstance(found, tuple) else (found, {})
    kept = _BUFFERS.setdefault((np.shape(value), value.dtype), np.empty_like(value))
    kept[...] = value
    return (kept, gradients) if isinstance(found, tuple) else kept


def _draw(tf: Any, a: Any) -> None:
    tf.random.get_global_generator().uniform([])


def _static_batch(anchor: Any, positive: Any, negative: Any, *, margin: float = 1.0, reduction: str = "mean") -> Any:
    """Return the loss, and 0 where the number of rows is unknown."""
    import tensorflow as tf

    whole = _tf()(anchor, positive, negative, margin=margin, reduction=reduction)
    return whole if anchor.shape[0] is not None else whole - tf.stop_gradient(whole)


def _gathered(embeddings: Any, labels: Any, centers: Any, *, reduction: str = "mean") -> Any:
    """Return a center loss that leaves the range of the labels to tf.gather, which raises, or not under XLA."""
    import tensorflow as tf

    wide = tf.float64 if embeddings.dtype == tf.float64 else tf.float32
    x, c = (tf.cast(t, wide) for t in (embeddings, centers))
    terms = 0.5 * tf.reduce_sum((x - tf.gather(c, labels)) ** 2, -1)
    if reduction == "none":
        return terms
    return tf.reduce_sum(terms) / (tf.cast(tf.maximum(tf.size(terms), 1), wide) if reduction == "mean" else 1)


def _gradient_of_one_dtype(
    embeddings: Any,
    labels: Any,
    centers: Any,
    *,
    factor: float = 0.5,
    mask: Any = None,
    reduction: str = "mean",
    cotangent: Any = None,
) -> Any:
    """Return the center loss with gradients that all have the dtype of the centers."""
    from lossproof.reference import center_loss

    given = {"factor": factor, "mask": mask, "reduction": reduction}
    if cotangent is None:
        return center_loss(embeddings, labels, centers, **given)
    value, gradients = center_loss(embeddings, labels, centers, cotangent=cotangent, **given)
    return value, {name: gradient.astype(centers.dtype) for name, gradient in gradients.items()}


def _masked_root(jnp: Any, t: Any) -> Any:
    total = jnp.sum(t * t, -1)
    return jnp.where(total > 0, jnp.sqrt(total), 0)


def _mutant(
    framework: str, name: str, bug: str, clauses: tuple[str, ...], function: Any, seen: str = "",
    loss: str = "triplet_margin_loss",
) -> Mutant:  # fmt: skip
    return Mutant(f"{framework}-{name}", bug, clauses, function, seen, loss=loss, framework=framework)


KINK = ("DI-10", "DI-15")

ELSEWHERE = (
    _mutant("tensorflow", "norm", "tf.norm has a NaN gradient at coincident rows", KINK,
        _tf(norm=lambda tf, t: tf.norm(t, axis=-1)), "losses built on tf.norm"),
    _mutant("tensorflow", "mean-of-nothing", "reduce_mean over no rows is NaN", ("CV-5",),
        _tf(mean=lambda tf, t: tf.reduce_mean(t)), "Keras losses before sum_over_batch_size was safe"),
    _mutant("tensorflow", "relu-nan", "a NaN term becomes 0", ("CV-10",),
        _tf(hinge=lambda tf, x: tf.where(x > 0, x, tf.zeros_like(x)))),
    _mutant("tensorflow", "seed", "the global generator is consumed", ("CV-21",), _tf(first=_draw)),
    _mutant("tensorflow", "softplus", "softplus for the hinge", ("TM-1",), _tf(hinge=lambda tf, x: tf.math.softplus(x))),
    _mutant("tensorflow", "gram", "the square is clipped at 1e-12 before the root, as a floor nobody asked for", KINK,
        _tf(norm=lambda tf, t: tf.sqrt(tf.maximum(tf.reduce_sum(t * t, -1), 1e-12))), "face recognition recipes"),
    _mutant("tensorflow", "static-batch", "with an unknown number of rows the loss is 0", ("CV-22",), _static_batch),
    _mutant("tensorflow", "gathered", "compiled, a label outside the range is moved into it", ("CV-33", "CV-22"), _gathered,
        "tf.gather under XLA", "center_loss"),
    _mutant("jax", "where-gradient", "where() hides the root at 0, and its gradient is NaN", KINK,
        _jax(norm=_masked_root), "the double-where of the JAX FAQ"),
    _mutant("jax", "norm", "jnp.linalg.norm has a NaN gradient at coincident rows", KINK,
        _jax(norm=lambda jnp, t: jnp.linalg.norm(t, axis=-1)), "optax with eps = 0"),
    _mutant("jax", "mean-of-nothing", "jnp.mean over no rows is NaN", ("CV-5",), _jax(mean=lambda jnp, t: jnp.mean(t))),
    _mutant("jax", "no-absolute-value", "the sum is not of absolute values", ("TM-1", "DI-1", "DI-4"),
        _jax(norm=lambda jnp, t: jnp.sqrt(jnp.abs(jnp.sum(t * jnp.abs(t), -1)))), "optax for odd p"),
    _mutant("jax", "detached", "the distance of the negative carries no gradient", ("TM-7",), _jax(detached=True)),
    _mutant("numpy", "in-place", "the anchors are overwritten", ("CV-21",), _in_place),
    _mutant("numpy", "buffer", "the loss is written into one buffer for each shape", ("CV-21",), _buffered),
    _mutant("numpy", "gradient-wide", "the gradient of the rows has the dtype of the centers", ("CV-18",),
        _gradient_of_one_dtype, loss="center_loss"),
    _mutant("numpy", "seed", "numpy's random state is consumed", ("CV-21",), _seeded),
)  # fmt: skip
