"""Bugs that only a transformation of JAX shows, or a switch that looks for mistakes. JAX is imported by the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.mutants import Mutant, table


def _reduced(jnp: Any, terms: Any, reduction: str, taken: Any = None, number: Callable[..., Any] | None = None) -> Any:
    """Return the loss of terms, those that take no part being 0."""
    if reduction == "none":
        return terms
    taken = terms >= 0 if taken is None else taken
    counted = taken & ~(terms <= 0) if reduction == "mean_nonzero" else taken
    share = 1 if reduction == "sum" else (number or _number)(jnp, counted)
    return jnp.sum(terms) / jnp.maximum(jnp.asarray(share, terms.dtype), 1)


def _triplet(hinge: Callable[..., Any] | None = None, number: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Return a triplet loss with another hinge or number of rows."""

    def triplet_margin_loss(
        anchor: Any, positive: Any, negative: Any, *, margin: float = 1.0, eps: float = 1e-6, reduction: str = "mean"
    ) -> Any:
        import jax.numpy as jnp

        wide = jnp.float64 if anchor.dtype == jnp.float64 else jnp.float32
        a, p, n = (row.astype(wide) for row in (anchor, positive, negative))
        near, far = (jnp.sqrt(jnp.sum((a - row + eps) ** 2, -1)) for row in (p, n))
        terms = (hinge or _hinge)(jnp, margin + near - far)
        return _reduced(jnp, terms, reduction, None, number)

    return triplet_margin_loss


def _hinge(jnp: Any, x: Any) -> Any:
    return jnp.where(x > 0, x, 0)


def _number(jnp: Any, counted: Any) -> Any:
    return jnp.sum(counted)


def _over_the_stack(jnp: Any, counted: Any) -> Any:
    """Return a count whose batching rule adds the calls of a stack up."""
    import jax

    count = jax.custom_batching.custom_vmap(lambda there: jnp.sum(there))
    count.def_vmap(lambda size, batched, there: (jnp.broadcast_to(jnp.sum(there), (size,)), True))
    return count(counted)


def _center(labels_of: Callable[..., Any]) -> Callable[..., Any]:
    """Return a center loss with another reading of the labels."""

    def center_loss(embeddings: Any, labels: Any, centers: Any, *, reduction: str = "mean") -> Any:
        import jax.numpy as jnp

        wide = jnp.float64 if embeddings.dtype == jnp.float64 else jnp.float32
        x, c = embeddings.astype(wide), centers.astype(wide)
        terms = 0.5 * jnp.sum((x - c[labels_of(jnp, labels)]) ** 2, -1)
        return _reduced(jnp, terms, reduction)

    return center_loss


def _labels_of_the_first(jnp: Any, labels: Any) -> Any:
    import jax

    read = jax.custom_batching.custom_vmap(lambda y: y)
    read.def_vmap(lambda size, batched, y: (jnp.broadcast_to(y[:1], y.shape) if batched[0] else y, batched[0]))
    return read(labels)


def _size_baked_in(jnp: Any, counted: Any) -> Any:
    return jnp.sum(counted) if isinstance(counted.size, int) else 1


def _size_as_a_number(jnp: Any, counted: Any) -> Any:
    return int(counted.size) - jnp.sum(~counted)


def _reverse_alone(jnp: Any, x: Any) -> Any:
    """Return a hinge that knows how to go back, and nothing of tangents."""
    import jax

    hinge = jax.custom_vjp(lambda x: jnp.maximum(x, 0))
    hinge.defvjp(lambda x: (hinge(x), x), lambda x, given: (jnp.where(x > 0, given, 0),))
    return hinge(x)


def _half_forward(jnp: Any, x: Any) -> Any:
    """Return a hinge whose derivative along a tangent is half of what goes back."""
    import jax

    hinge = jax.custom_jvp(lambda x: jnp.maximum(x, 0))

    def along(given: Any, tangents: Any) -> Any:
        on = jnp.where(given[0] > 0, tangents[0], 0)
        half = jax.custom_derivatives.linear_call(lambda _, t: 0.5 * t, lambda _, back: back, (), on)
        return hinge(given[0]), half

    hinge.defjvp(along)
    return hinge(x)


def _hard(filler: Callable[..., float], ranks: Callable[..., Any]) -> Callable[..., Any]:
    """Return a batch-hard loss with its own filler for rows that are no candidates, and its own comparison of labels."""

    def batch_hard_triplet_loss(embeddings: Any, labels: Any, *, margin: float = 0.3, reduction: str = "mean") -> Any:
        import jax.numpy as jnp

        x = embeddings.astype(jnp.float64 if embeddings.dtype == jnp.float64 else jnp.float32)
        same = ranks(labels)
        positive, negative = same & ~jnp.eye(x.shape[0], dtype=bool), ~same
        t = x[:, None] - x[None]
        total = jnp.sum(t * t, -1)
        d = jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1)), 0)
        most = filler(jnp, d)
        far = jnp.max(jnp.where(positive, d, -most), -1)
        near = jnp.min(jnp.where(negative, d, most), -1)
        taken = positive.any(-1) & negative.any(-1)
        terms = jnp.where(taken, jnp.maximum(margin + jnp.where(taken, far - near, 0), 0), 0)
        return _reduced(jnp, terms, reduction, taken)

    return batch_hard_triplet_loss


def _largest(jnp: Any, d: Any) -> float:
    return float(jnp.finfo(d.dtype).max)


def _infinite(jnp: Any, d: Any) -> float:
    return float("inf")


def _mutant(
    name: str, bug: str, clause: str, function: Any, loss: str = "triplet_margin_loss", seen: str = "", *, ours: bool = False
) -> Mutant:  # fmt: skip
    return Mutant(f"jax-{name}", bug, (clause,), function, seen, ours, loss, "jax")


MUTANTS = table(
    _mutant("stacked-count", "in a stack of calls the rows of all are counted", "CV-22", _triplet(number=_over_the_stack)),
    _mutant("stacked-labels", "in a stack of calls all have the labels of the first", "CV-22", _center(_labels_of_the_first), "center_loss"),
    _mutant("size-baked-in", "where the number of rows is a symbol the mean is a sum", "CV-22", _triplet(number=_size_baked_in)),
    _mutant("size-as-a-number", "a symbolic number of rows raises", "CV-22", _triplet(number=_size_as_a_number), seen="this project", ours=True),
    _mutant("reverse-alone", "a custom_vjp has no forward mode", "CV-22", _triplet(hinge=_reverse_alone), seen="hand-written backward passes", ours=True),
    _mutant("half-forward", "the derivative along a tangent is half the gradient", "CV-22", _triplet(hinge=_half_forward)),
    _mutant("infinite-filler", "infinity fills in for rows that are no candidates, where jax_debug_infs stops", "CV-36",
        _hard(_infinite, lambda y: y[:, None] == y[None]), "batch_hard_triplet_loss", "this project", ours=True),
    _mutant("rank-promotion", "labels are compared with a column of them, which jax_numpy_rank_promotion refuses", "CV-36",
        _hard(_largest, lambda y: y[:, None] == y), "batch_hard_triplet_loss", "this project", ours=True),
)  # fmt: skip

CORRECT = {
    "triplet_margin_loss": _triplet(),
    "center_loss": _center(lambda jnp, labels: labels),
    "batch_hard_triplet_loss": _hard(_largest, lambda y: y[:, None] == y[None]),
}
__all__ = ["CORRECT", "MUTANTS"]
