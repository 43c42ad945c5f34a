"""Tensors at the door: what the argument checks need to know of them, and the dtype of the arithmetic."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import tensorflow as tf

from lossproof.spec.arguments import (
    check_batch,
    check_label_range,
    check_labels,
    check_mask,
    check_real,
    check_rows,
    check_scalar,
    check_table,
    refuse_type,
)


def describe(name: str, value: Any) -> tuple[tuple[int | None, ...], str]:
    """Return shape (None: a length not known yet) and dtype name of a tensor; TypeError for anything else."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.name
    if not isinstance(value, (tf.Tensor, tf.Variable)):
        refuse_type(name, "be a tf.Tensor, tf.Variable or numpy.ndarray", value)
    if value.shape.rank is None:
        raise ValueError(f"{name} must have a known number of axes, got shape {value.shape}")
    return tuple(value.shape), value.dtype.name


def on_host(value: Any) -> bool:
    """Return whether the numbers of an array can be read without waiting for a device or for a graph to run."""
    return isinstance(value, np.ndarray) or (hasattr(value, "numpy") and "CPU" in getattr(value, "device", ""))


def arithmetic(*values: Any) -> tf.DType:
    """Return the dtype of the arithmetic on inputs of which the widest counts: CV-17, CV-18."""
    names = [getattr(getattr(value, "dtype", None), "name", "") for value in values]
    return tf.float64 if "float64" in names else tf.float32


def rows(mask: tf.Tensor | None, *tables: tf.Tensor, **inputs: tf.Tensor) -> tuple[tf.Tensor | None, list[tf.Tensor]]:
    """Check rows (..., D) and their mask; return the mask, and the rows as the arithmetic takes them.

    That is: in its dtype, which wider tables decide, and masked rows as zeros. Lengths unknown until the graph runs are
    compared there.
    """
    described = {name: describe(name, value) for name, value in inputs.items()}
    check_rows(described)  # CV-24, CV-25, CV-26
    shapes = [shape for shape, _ in described.values()]
    if mask is not None:
        shape, mask_dtype = describe("mask", mask)
        check_mask("mask", shape, mask_dtype, shapes[0][:-1])  # CV-29, CV-30
        shapes.append(shape)
    dtype = arithmetic(*inputs.values(), *tables)
    values = [tf.cast(value, dtype) for value in inputs.values()]  # once, so that a gradient is rounded once: CV-16
    unknown = any(length is None for shape in shapes for length in shape)
    if unknown:
        values = of_one_shape(*values)
    if mask is None:
        return None, values
    mask = tf.convert_to_tensor(mask)
    if unknown:
        mask, _ = of_one_shape(mask, tf.zeros_like(values[0][..., 0], dtype=tf.bool))
    return mask, [filled(value, ~mask[..., tf.newaxis], 0.0) for value in values]  # CV-8, CV-9


def of_one_shape(*values: tf.Tensor) -> list[tf.Tensor]:
    """Fail on shapes that differ when the graph runs: tf.stack never broadcasts, and XLA drops assertions."""
    return list(tf.unstack(tf.stack(values), num=len(values)))


def real(
    name: str, value: float | tf.Tensor, low: float, *, high: float = inf, above: bool = False
) -> float | tf.Tensor:
    """Check a number on the host, [low, inf) or as `check_real` says; a tensor of shape () is not read."""
    if isinstance(value, (tf.Tensor, tf.Variable)):
        check_scalar(name, describe(name, value)[0])
        return tf.convert_to_tensor(value)
    check_real(name, value, low, high=high, above=above)  # CV-28
    return float(value)


def number(value: float | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return a number in the dtype of the arithmetic; one on the host is converted once and stays finite."""
    if isinstance(value, float):
        return tf.constant(min(value, float(dtype.max)), dtype)
    return tf.cast(value, dtype)


def filled(x: tf.Tensor, where: tf.Tensor, value: float) -> tf.Tensor:
    """Return x with a number in its place, and gradient 0, where the condition holds."""
    return tf.where(where, tf.constant(value, x.dtype), x)


def spoilt(x: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Return x with NaN in its place, and gradient 0, where the condition holds.

    NaN comes into being there alone: a constant would stop `tf.debugging.enable_check_numerics` in every call (CV-36).
    """
    return tf.where(where, tf.zeros_like(x) / tf.cast(~where, x.dtype), x)


def followed(x: tf.Tensor, value: float) -> tf.Tensor:
    """Return x with one entry more at the end of its last axis; `tf.vectorized_map` drops the constant of `tf.pad`."""
    return tf.concat([x, tf.fill(tf.concat([tf.shape(x)[:-1], [1]], 0), tf.constant(value, x.dtype))], axis=-1)


def batch(
    mask: tf.Tensor | None, labels: tf.Tensor, *tables: tf.Tensor, **embeddings: tf.Tensor
) -> tuple[tf.Tensor | None, tf.Tensor, tf.Tensor]:
    """Check one batch (B, D) with its labels and mask; return mask, labels and rows in the arithmetic's dtype.

    The widest of the rows and of the tables that the loss takes beside them decides it. Rows that are masked out are
    zeros with label 0. Labels in a numpy array stay on the host.
    """
    ((name, value),) = embeddings.items()
    shape, dtype = describe(name, value)
    check_batch(name, shape, dtype)  # CV-34
    check_labels("labels", *describe("labels", labels), shape[0])  # CV-31
    labels = tf.convert_to_tensor(labels) if isinstance(labels, tf.Variable) else labels
    given = mask
    mask, (values,) = rows(mask, *tables, **embeddings)
    if shape[0] is None or labels.shape[0] is None:
        labels = tf.convert_to_tensor(labels)
        labels, _ = of_one_shape(labels, tf.zeros_like(values[:, 0], labels.dtype))
    if mask is None:
        return None, labels, values
    if isinstance(labels, np.ndarray) and isinstance(given, np.ndarray):
        return mask, np.where(given, labels, 0), values  # CV-33
    labels = tf.convert_to_tensor(labels)
    return mask, tf.where(mask, labels, tf.zeros_like(labels)), values


def in_range(labels: tf.Tensor, low: int, high: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return labels kept within [low, high], and which of them were; on the host, others are an error (CV-33)."""
    known = np.asarray(labels) if on_host(labels) and isinstance(high, int) else np.zeros(0)
    if known.size:
        check_label_range("labels", int(known.min()), int(known.max()), low, high)
    labels = tf.cast(labels, tf.int64)  # of uint64, the labels that int64 does not hold become negative, and no index
    return tf.clip_by_value(labels, low, high), (labels >= low) & (labels <= high)


def table(
    name: str, value: tf.Tensor, dtype: tf.DType, like: str, rows_: tf.Tensor, *, empty: bool = False
) -> tf.Tensor:
    """Check a table (C, D) against a checked batch; return it in the dtype of the arithmetic."""
    shape, own = describe(name, value)
    check_table(name, shape, own, like, rows_.shape[-1], describe(like, rows_)[1], empty=empty)  # CV-26, CV-34
    return tf.cast(value, dtype)


def rows_of(value: tf.Tensor, labels: tf.Tensor) -> tuple[int | tf.Tensor, tf.Tensor]:
    """Return the number of rows of a table, and the labels: a tensor too where that number is not known yet."""
    if value.shape[0] is not None:
        return int(value.shape[0]), labels
    return tf.shape(value, out_type=tf.int64)[0], tf.convert_to_tensor(labels)
