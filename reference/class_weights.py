"""Rows and class weights at unit length: what the losses of a cosine with class weights share."""

from __future__ import annotations

import numpy as np

from lossproof.reference.typing import Array


def unit_rows(rows: Array) -> tuple[Array, Array]:
    """Return rows at unit length and the inverse of their norms, both 0 for a zero row."""
    largest = np.max(np.abs(rows), axis=-1, keepdims=True)
    exponent = np.frexp(np.where(largest > 0, largest, 1))[1]
    scaled = np.ldexp(rows, -exponent)  # a power of two: exact, and no square leaves the range
    norm = np.sqrt(np.sum(scaled * scaled, axis=-1, keepdims=True))
    divisor = np.where(norm == 0, 1, norm)
    inverse = np.where(norm == 0, 0, 1 / np.ldexp(divisor, exponent))
    return scaled / divisor, inverse[:, 0]


def by_inverse(rows: Array, inverse: Array) -> Array:
    """Return rows times the inverse of a norm, which is infinite where the norm is below the normal numbers."""
    return np.where(rows == 0, 0, rows * inverse[:, None])
