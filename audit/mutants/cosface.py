"""Broken CosFace losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.arcface import ArcFace
from audit.mutants.correct import TripletMargin, narrowed, with_default


class CosFace(ArcFace):
    """The loss; unit rows, dtypes and reductions are those of the correct ArcFace loss."""

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        class_weights: Tensor,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of embeddings (B, D)."""
        return super().__call__(
            embeddings, labels, class_weights, scale=scale, margin=margin, mask=mask, reduction=reduction
        )

    def check_margin(self, margin: float) -> None:
        """CV-28."""
        self.check_number("margin", margin, 0.0)

    def with_margin(self, x: Tensor, w: Tensor, margin: float, beyond: str) -> Tensor:
        """CF-1, CF-3."""
        return self.cosine(x, w) - margin

    def cosine(self, x: Tensor, w: Tensor) -> Tensor:
        """CF-4, CF-6 to CF-8: of each row and the class weight of its label."""
        return (x * w).sum(-1)


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(CosFace, method)]
    if unknown:
        raise ValueError(f"{name}: CosFace has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (CosFace,), methods)(), seen, ours, "cosface_loss")


def _margin(change: Callable[[float], float]) -> Callable[..., Tensor]:
    return lambda s, x, w, m, b: CosFace.with_margin(s, x, w, change(m), b)


def _outside(loss: CosFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str) -> Tensor:
    """Subtract the margin after the scale."""
    return CosFace.logits(loss, x, w, labels, scale, margin / max(scale, 1e-9), beyond)


def _everywhere(
    loss: CosFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str
) -> Tensor:
    return scale * (x @ w.mT - margin)


def _of_the_others(
    loss: CosFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str
) -> Tensor:
    """Subtract the margin from every cosine but the label's."""
    return CosFace.logits(loss, x, w, labels, scale, -margin, beyond)


def _batch_mean(
    loss: CosFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str
) -> Tensor:
    return CosFace.logits(loss, x - x.detach().mean(0) if len(x) > 1 else x, w, labels, scale, margin, beyond)


def _in_angle(loss: CosFace, x: Tensor, w: Tensor, margin: float, beyond: str) -> Tensor:
    """Add the margin to the angle; without clamping, for the ends are another mutant's."""
    return ArcFace.with_margin(loss, x, w, min(margin, 3.0), "keep")


def _through_the_angle(loss: CosFace, x: Tensor, w: Tensor) -> Tensor:
    return CosFace.cosine(loss, x, w).clamp(-1, 1).acos().cos()


def _zero_is_parallel(loss: CosFace, x: Tensor, w: Tensor) -> Tensor:
    return CosFace.cosine(loss, x, w).masked_fill((x == 0).all(-1) | (w == 0).all(-1), 1.0)


def _pulled_zero(loss: CosFace, rows: Tensor) -> Tensor:
    """Divide a zero row by 1, through which it gets the gradient of its unit vector."""
    square = (rows * rows).sum(-1, keepdim=True)
    return rows / square.masked_fill(square == 0, 1.0).sqrt()


def _kept_norm(loss: CosFace, rows: Tensor) -> Tensor:
    return rows / (rows * rows).sum(-1, keepdim=True).sqrt().detach().masked_fill(
        (rows == 0).all(-1, keepdim=True), 1.0
    )


def _share(share: float) -> Callable[..., Tensor]:
    def terms(loss: CosFace, logits: Tensor, labels: Tensor) -> Tensor:
        found = CosFace.cross_entropy(loss, logits, labels)
        return found.detach() + share * (found - found.detach())

    return terms


def _sigmoid_of_one(loss: CosFace, logits: Tensor, labels: Tensor) -> Tensor:
    found = CosFace.cross_entropy(loss, logits, labels)
    return found if logits.shape[1] > 1 else found + torch.nn.functional.softplus(-logits[:, 0])


MUTANTS: dict[str, Mutant] = table(
    _mutant("cf-no-margin", "there is no margin", "CF-1", "CF-3", with_margin=_margin(lambda m: 0.0)),
    _mutant("cf-plus", "the margin is added to the cosine", "CF-1", "CF-3", with_margin=_margin(lambda m: -m)),
    _mutant("cf-arcface", "the margin is added to the angle", "CF-1", "CF-3", seen="ArcFace under the name of CosFace", with_margin=_in_angle),
    _mutant("cf-outside", "the margin is subtracted after the scale", "CF-1", "CF-3", logits=_outside),
    _mutant("cf-everywhere", "every class has the margin, so none has", "CF-1", "CF-3", logits=_everywhere),
    _mutant("cf-of-the-others", "the margin is subtracted from the other classes", "CF-1", "CF-3", logits=_of_the_others),
    _mutant("cf-margin-of-one", "a margin above 1 is taken for 1", "CF-3", with_margin=_margin(lambda m: min(m, 1.0))),
    _mutant("cf-clamped", "the label's cosine is kept above -1", "CF-3", "CF-1", with_margin=lambda s, x, w, m, b: CosFace.with_margin(s, x, w, m, b).clamp(min=-1)),
    _mutant("cf-no-scale", "the scale is 1 whatever is asked for", "CF-1", logits=lambda s, x, w, y, k, m, b: CosFace.logits(s, x, w, y, 1.0, m, b)),
    _mutant("cf-default-margin", "the margin is 0.4 where it is not given", "CF-10", seen="insightface", __call__=with_default(CosFace, margin=0.4)),
    _mutant("cf-default-scale", "the scale is 30 where it is not given", "CF-10", seen="ports with s = 30", __call__=with_default(CosFace, scale=30.0)),
    _mutant("cf-raw-embeddings", "embeddings are not brought to unit length", "CF-2", unit=lambda s, rows: rows, unit_weights=lambda s, w: CosFace.unit(s, w)),
    _mutant("cf-raw-weights", "class weights are not brought to unit length", "CF-2", "CF-1", unit_weights=lambda s, w: w),
    _mutant("cf-tiny-norm", "norms below 1e-6 are taken for 1e-6", "CF-2", seen="tf.math.l2_normalize", unit=lambda s, rows: rows / (rows * rows).sum(-1, keepdim=True).clamp(min=1e-12).sqrt()),
    _mutant("cf-zero-parallel", "a zero row has the cosine 1", "CF-4", cosine=_zero_is_parallel),
    _mutant("cf-zero-nan", "a zero row is NaN", "CF-4", "CV-5", "CV-7", unit=lambda s, rows: rows / (rows * rows).sum(-1, keepdim=True).sqrt()),
    _mutant("cf-one-class", "with one class the loss is a sigmoid's", "CF-5", cross_entropy=_sigmoid_of_one),
    _mutant("cf-detached-label", "the label's cosine has no gradient", "CF-6", cosine=lambda s, x, w: CosFace.cosine(s, x, w).detach()),
    _mutant("cf-detached-weights", "class weights have no gradient", "CF-6", unit_weights=lambda s, w: CosFace.unit(s, w).detach()),
    _mutant("cf-detached-norm", "the norm of an embedding has no gradient", "CF-6", "CF-7", unit=_kept_norm, unit_weights=lambda s, w: CosFace.unit(s, w)),
    _mutant("cf-gradient-near", "the gradient is 1.001 times too large", "CF-6", "CV-16", cross_entropy=_share(1.001)),
    _mutant("cf-arc-cosine", "the label's cosine is that of its arc cosine", "CF-7", seen="losses that add a margin to the angle, too", cosine=_through_the_angle),
    _mutant("cf-pulled-zero", "a zero row gets the gradient of its unit vector", "CF-8", unit=_pulled_zero),
    _mutant("cf-batch-mean", "the mean of the batch is subtracted from the unit embeddings", "CF-9", "CF-1", logits=_batch_mean),
    _mutant("cf-clamped-label", "a label outside its range is moved into it", "CV-33", in_range=lambda s, y, k: y.clamp(0, k - 1)),
    _mutant("cf-mask-times", "the mask is a factor", "CV-8", "CV-9", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), masked=lambda s, t, m: t * m),
    _mutant("cf-count-all", "the mean counts rows that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("cf-negative-margin", "a negative margin is taken", "CV-28", check_margin=lambda s, m: None if m < 0 else CosFace.check_margin(s, m)),
    _mutant("cf-narrowed", "class weights are cast down to the dtype of the rows", "CV-15", "CV-16", seen="autocast", widened=narrowed),
    _mutant("cf-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
)  # fmt: skip

CORRECT = CosFace()
__all__ = ["CORRECT", "MUTANTS"]
