"""Broken logits of ArcFace without margin, each the correct ones with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, sin
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.arcface import ArcFace
from audit.mutants.correct import narrowed


class Logits(ArcFace):
    """The logits; arguments, dtypes and unit rows are those of the correct loss."""

    SCALE = 64.0

    def __call__(self, embeddings: Tensor, class_weights: Tensor, **given: float) -> Tensor:  # type: ignore[override]
        """Return the logits of embeddings (B, D)."""
        if given.keys() - {"scale"}:
            raise TypeError("the only option is scale")
        scale = given.get("scale", self.SCALE)
        self.check_scale(scale)
        self.check_wide(embeddings, class_weights)
        self.check_batch(embeddings)
        self.check_weights(class_weights, embeddings)
        rows, weights = self.widened(self.prepare(embeddings, None), self.prepare(class_weights, None))
        return self.scaled(self.cosines(self.unit(rows), self.unit_weights(weights)), scale)

    def check_scale(self, scale: Any) -> None:
        """AF-21."""
        if isinstance(scale, bool | str):
            raise TypeError(f"scale must be a number, got {scale!r}")
        self.check_number("scale", scale, 0.0)

    def cosines(self, x: Tensor, w: Tensor) -> Tensor:
        """AF-18."""
        return x @ w.mT

    def scaled(self, cosine: Tensor, scale: float) -> Tensor:
        """AF-18."""
        return scale * cosine


def _mutant(name: str, bug: str, *clauses: str, seen: str = "", **methods: Any) -> Mutant:
    unknown = [method for method in methods if not hasattr(Logits, method)]
    if unknown:
        raise ValueError(f"{name}: Logits has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (Logits,), methods)(), seen, loss="arcface_logits")


def _with_margin(loss: Logits, x: Tensor, w: Tensor) -> Tensor:
    c = x @ w.mT
    return c * cos(0.5) - (1 - c * c).clamp(min=0).sqrt() * sin(0.5)


def _norm(rows: Tensor) -> Tensor:
    return (rows * rows).sum(-1, keepdim=True).sqrt()


def _without_nan(loss: Logits, rows: Tensor) -> Tensor:
    return ArcFace.unit(loss, torch.where(rows.isnan().any(-1, keepdim=True), 0.0, rows))


def _nan_everywhere(loss: Logits, x: Tensor, w: Tensor) -> Tensor:
    return (x @ w.mT).masked_fill(w.isnan().any(), torch.nan)


def _detached_norm(loss: Logits, rows: Tensor) -> Tensor:
    norm = _norm(rows).detach()
    return rows / norm.masked_fill(norm == 0, 1.0)


def _pulled_zero(loss: Logits, rows: Tensor) -> Tensor:
    """Divide a zero row by 1, through which it gets the gradient of its unit vector."""
    square = (rows * rows).sum(-1, keepdim=True)
    return rows / square.masked_fill(square == 0, 1.0).sqrt()


def _some_rows(loss: Logits, rows: Tensor) -> None:
    ArcFace.check_batch(loss, rows)
    if not len(rows):
        raise ValueError("embeddings must have at least one row")


_own: Callable[..., Tensor] = ArcFace.unit

MUTANTS: dict[str, Mutant] = table(
    _mutant("al-margin", "every logit has the margin of the loss", "AF-18", seen="the training head used for inference", cosines=_with_margin),
    _mutant("al-no-scale", "the logits are the cosines", "AF-18", "AF-22", scaled=lambda s, c, scale: 1.0 * c),
    _mutant("al-temperature", "the cosine is divided by the scale", "AF-18", "AF-22", scaled=lambda s, c, scale: c / (scale or 1.0)),
    _mutant("al-raw-embeddings", "embeddings are not brought to unit length", "AF-18", unit=lambda s, rows: rows, unit_weights=lambda s, w: _own(s, w)),
    _mutant("al-raw-weights", "class weights are not brought to unit length", "AF-18", seen="a plain linear layer", unit_weights=lambda s, w: w),
    _mutant("al-tiny-norm", "norms below 1e-6 are taken for 1e-6", "AF-18", seen="tf.math.l2_normalize", unit=lambda s, rows: rows / _norm(rows).clamp(min=1e-6)),
    _mutant("al-zero-nan", "a zero row is NaN", "AF-19", seen="x / norm(x)", unit=lambda s, rows: rows / _norm(rows)),
    _mutant("al-nan-swallowed", "a row with NaN is taken for zero", "AF-19", unit=_without_nan),
    _mutant("al-nan-everywhere", "NaN in one class weight makes every logit NaN", "AF-19", cosines=_nan_everywhere),
    _mutant("al-detached", "the logits have no gradient", "AF-20", seen="torch.no_grad", scaled=lambda s, c, scale: scale * c.detach()),
    _mutant("al-detached-weights", "class weights have no gradient", "AF-20", unit_weights=lambda s, w: _own(s, w).detach()),
    _mutant("al-detached-norm", "the norms have no gradient", "AF-20", unit=_detached_norm),
    _mutant("al-pulled-zero", "a zero row gets the gradient of its unit vector", "AF-20", unit=_pulled_zero),
    _mutant("al-any-scale", "every scale is taken", "AF-21", "CV-28", check_scale=lambda s, scale: None),
    _mutant("al-narrowed", "class weights are cast down to the dtype of the rows", "AF-21", seen="autocast", widened=narrowed),
    _mutant("al-half", "half inputs are computed, and come back, in their own dtype", "AF-21", "CV-17", arithmetic=lambda s, dtype: dtype),
    _mutant("al-no-rows", "no rows are refused", "AF-21", check_batch=_some_rows),
    _mutant("al-default-scale", "the scale is 30 where it is not given", "AF-22", seen="ArcFace ports with s = 30", SCALE=30.0),
)  # fmt: skip

CORRECT = Logits()
__all__ = ["CORRECT", "MUTANTS"]
