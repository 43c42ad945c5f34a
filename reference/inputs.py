"""The inputs of a call: checked, at least float64 wide, and 0 where the mask says so (spec/conventions.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.typing import Array
from lossproof.spec.arguments import (
    check_batch,
    check_class_weights,
    check_labels,
    check_mask,
    check_weight_range,
    check_weights,
)


def as_rows(**rows: object) -> tuple[Array, ...]:
    """Return the inputs as float64, or wider where they are wider."""
    arrays = [np.asarray(row) for row in rows.values()]
    return tuple(a.astype(np.result_type(a.dtype, np.float64)) for a in arrays)


def described(**rows: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Describe numpy arrays for the argument checks: shape and dtype name; wider floats pass as float64."""
    arrays = {name: np.asarray(row) for name, row in rows.items()}
    wide = np.dtype(np.longdouble)
    return {name: (a.shape, "float64" if a.dtype == wide else a.dtype.name) for name, a in arrays.items()}


def as_mask(mask: ArrayLike | None, shape: tuple[int, ...], name: str = "mask") -> Array:
    """Check a mask and return it; without one, everything takes part."""
    takes_part = np.ones(shape, bool) if mask is None else np.asarray(mask)
    check_mask(name, takes_part.shape, takes_part.dtype.name, shape)  # CV-29, CV-30
    return takes_part


def as_weights(weights: ArrayLike | None, mask: ArrayLike | None, **rows: ArrayLike) -> Array | None:
    """Check weights, one a unit of rows (..., D), and return them, 0 where the mask says so; None without any."""
    if weights is None:
        return None
    ((name, (shape, dtype)),) = described(**rows).items()
    ((own_shape, own_dtype),) = described(weights=weights).values()
    check_weights("weights", own_shape, own_dtype, shape[:-1], name, dtype)  # CV-45
    (own,) = as_rows(weights=weights)
    own = np.where(as_mask(mask, shape[:-1]), own, 0)
    if own.size:
        check_weight_range("weights", float(np.min(own)), float(np.max(own)))  # CV-46
    return own


def as_class_weights(class_weights: ArrayLike | None, **rows: ArrayLike) -> Array | None:
    """Check weights (K,) of the classes of logits (B, K), and return them; None without any."""
    if class_weights is None:
        return None
    ((name, (shape, dtype)),) = described(**rows).items()
    ((own_shape, own_dtype),) = described(class_weights=class_weights).values()
    check_class_weights("class_weights", own_shape, own_dtype, shape[-1], name, dtype)  # CE-17, ST-21
    (own,) = as_rows(class_weights=class_weights)
    check_weight_range("class_weights", float(np.min(own)), float(np.max(own)))  # CE-18, ST-22
    return own


def weighing(weights: Array | None, mask: ArrayLike | None) -> ArrayLike | None:
    """Return the mask of the units that weigh something, where each has rows of its own: CV-41, CV-42."""
    return mask if weights is None else weights != 0


def as_masked_rows(mask: ArrayLike | None, **rows: ArrayLike) -> tuple[Array, ...]:
    """Return the mask of rows (..., D) of one shape, and the rows, masked ones as 0: CV-8, CV-9."""
    wide = as_rows(**rows)
    takes_part = as_mask(mask, wide[0].shape[:-1])
    return takes_part, *(np.where(takes_part[..., None], row, 0) for row in wide)


def as_batch(labels: ArrayLike, mask: ArrayLike | None, **embeddings: ArrayLike) -> tuple[Array, Array, Array]:
    """Check one batch (B, D) with labels and mask; return integer labels, the mask and the rows, masked ones as 0."""
    ((name, value),) = embeddings.items()
    ((shape, dtype),) = described(**embeddings).values()
    check_batch(name, shape, dtype)  # CV-34
    own = np.asarray(labels)
    check_labels("labels", own.shape, own.dtype.name, shape[0])  # CV-31
    takes_part = as_mask(mask, shape[:1])
    (rows,) = as_rows(**{name: value})
    return np.where(takes_part, own, 0), takes_part, np.where(takes_part[:, None], rows, 0)  # CV-8, CV-33
