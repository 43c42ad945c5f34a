"""Broken ArcFace losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, inf, pi, radians, sin
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import TripletMargin, narrowed, with_default
from audit.mutants.cross_entropy import CrossEntropy

BEYOND = ("keep", "linear", "continuous")


class ArcFace(CrossEntropy):
    """The loss; labels, dtypes and reductions are those of the correct cross-entropy loss."""

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        class_weights: Tensor,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        beyond_pi: str = "keep",
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of embeddings (B, D)."""
        self.check_number("scale", scale, 0.0)
        self.check_margin(margin)
        self.check_choice("beyond_pi", beyond_pi, BEYOND)
        self.check_choice("reduction", reduction, ("none", "sum", "mean"))
        self.check_wide(embeddings, class_weights)
        self.check_batch(embeddings)
        self.check_weights(class_weights, embeddings)
        labels = self.labels(labels, embeddings.shape[0])
        if mask is not None:
            mask = self.checked_mask(mask, embeddings.shape[:1])
            labels = labels.masked_fill(~mask, 0)
        labels = self.in_range(labels, len(class_weights))
        rows, weights = self.widened(self.prepare(embeddings, mask), self.prepare(class_weights, None))
        x, w = self.unit(rows), self.unit_weights(weights)
        terms = self.cross_entropy(self.logits(x, w, labels, scale, margin, beyond_pi), labels)
        return self.reduce(terms, mask, reduction)

    def check_margin(self, margin: float) -> None:
        """AF-15."""
        if not 0 <= margin <= pi:
            raise ValueError(f"margin must be in [0, pi], got {margin}")

    def check_weights(self, weights: Tensor, rows: Tensor) -> None:
        """CV-34."""
        if weights.ndim != 2 or not len(weights) or weights.shape[1] != rows.shape[1]:
            raise ValueError(f"class_weights must be as wide as the embeddings, got {tuple(weights.shape)}")

    def unit(self, rows: Tensor) -> Tensor:  # type: ignore[override]
        """AF-2, AF-9, AF-14."""
        largest = rows.detach().abs().amax(-1, keepdim=True)
        rows = rows / largest.masked_fill(largest < torch.finfo(rows.dtype).tiny, 1.0)
        square = (rows * rows).sum(-1, keepdim=True)
        return (rows / square.masked_fill(square == 0, 1.0).sqrt()).masked_fill(square == 0, 0.0)

    def unit_weights(self, weights: Tensor) -> Tensor:
        """AF-2."""
        return self.unit(weights)

    def logits(self, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str) -> Tensor:
        """AF-1."""
        cosine = x @ w.mT
        return scale * self.placed(cosine, self.with_margin(x, w[labels], margin, beyond), labels)

    def placed(self, cosine: Tensor, own: Tensor, labels: Tensor) -> Tensor:
        """Put the label's cosine in its place."""
        return cosine.scatter(1, labels[:, None], own[:, None])

    def with_margin(self, x: Tensor, w: Tensor, margin: float, beyond: str) -> Tensor:
        """AF-3 to AF-8."""
        c = (x * w).sum(-1)
        added = c * cos(margin) - self.sine(x, w, c) * sin(margin)
        if beyond == "keep":
            return added
        return torch.where(self.past(c, margin), self.beyond(c, margin, beyond), added)

    def sine(self, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
        """AF-4, AF-9, AF-13."""
        away = x - c[:, None] * w
        square = (away * away).sum(-1)
        root = square.masked_fill(square == 0, 1.0).sqrt().masked_fill(square == 0, 0.0)
        return root.masked_fill((x == 0).all(-1) | (w == 0).all(-1), 1.0)

    def past(self, c: Tensor, margin: float) -> Tensor:
        """AF-8."""
        return c < -cos(margin)

    def beyond(self, c: Tensor, margin: float, beyond: str) -> Tensor:
        """AF-6, AF-7."""
        return c - margin * sin(margin) if beyond == "linear" else c + cos(margin) - 1

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """CE-1."""
        return CrossEntropy.terms(self, logits, labels, 0.0)


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(ArcFace, method)]
    if unknown:
        raise ValueError(f"{name}: ArcFace has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (ArcFace,), methods)(), seen, ours, "arcface_loss")


def _margin(change: Callable[[float], float]) -> Callable[..., Tensor]:
    return lambda s, x, w, m, b: ArcFace.with_margin(s, x, w, change(m), b)


def _without_factor(loss: ArcFace, x: Tensor, w: Tensor, margin: float, beyond: str) -> Tensor:
    """Add the margin without gradient, so that the label's logit has the gradient of the cosine."""
    c, found = (x * w).sum(-1), ArcFace.with_margin(loss, x, w, margin, beyond)
    return found.detach() + c - c.detach()


def _arc_cosine(loss: ArcFace, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    return c.clamp(-1, 1).acos().sin()


def _root(loss: ArcFace, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    return (1 - c * c).clamp(min=0).sqrt()


def _safe_root(loss: ArcFace, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    square = 1 - c * c
    return square.clamp(min=1e-12).sqrt()


def _bare_sine(loss: ArcFace, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    away = x - c[:, None] * w
    return (away * away).sum(-1).sqrt().masked_fill((x == 0).all(-1) | (w == 0).all(-1), 1.0)


def _floored_unit(loss: ArcFace, rows: Tensor) -> Tensor:
    return rows / (rows * rows).sum(-1, keepdim=True).sqrt().clamp(min=1.0)


def _squeezed(loss: ArcFace, rows: Tensor) -> Tensor:
    return ArcFace.unit(loss, rows.squeeze() if len(rows) > 1 else rows)


def _pulled_zero(loss: ArcFace, rows: Tensor) -> Tensor:
    """Divide a zero row by 1, through which it gets the gradient of its unit vector."""
    square = (rows * rows).sum(-1, keepdim=True)
    return rows / square.masked_fill(square == 0, 1.0).sqrt()


def _everywhere(
    loss: ArcFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str
) -> Tensor:
    columns = [loss.with_margin(x, row.expand_as(x), margin, beyond) for row in w]
    return scale * torch.stack(columns, 1)


def _inside(loss: ArcFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str) -> Tensor:
    """Subtract the margin from the cosine, outside the scale."""
    cosine = scale * (x @ w.mT)
    own = cosine.gather(1, labels[:, None])
    return cosine.scatter(1, labels[:, None], own - margin)


def _share(share: float) -> Callable[..., Tensor]:
    def terms(loss: ArcFace, logits: Tensor, labels: Tensor) -> Tensor:
        found = ArcFace.cross_entropy(loss, logits, labels)
        return found.detach() + share * (found - found.detach())

    return terms


def _kept_gradient(loss: ArcFace, x: Tensor, w: Tensor, margin: float, beyond: str) -> Tensor:
    """Take the value past pi, and the gradient of what is before it."""
    kept, found = (ArcFace.with_margin(loss, x, w, margin, b) for b in ("keep", beyond))
    return found.detach() + kept - kept.detach()


def _no_logit_of_one(loss: ArcFace, logits: Tensor, labels: Tensor) -> Tensor:
    found = ArcFace.cross_entropy(loss, logits, labels)
    return found if logits.shape[1] > 1 else found + torch.nn.functional.softplus(-logits[:, 0])


def _batch_mean(
    loss: ArcFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str
) -> Tensor:
    return ArcFace.logits(loss, x - x.detach().mean(0) if len(x) > 1 else x, w, labels, scale, margin, beyond)


MUTANTS: dict[str, Mutant] = table(
    _mutant("af-no-margin", "there is no margin", "AF-1", "AF-3", with_margin=_margin(lambda m: 0.0)),
    _mutant("af-minus", "the margin is subtracted from the angle", "AF-1", "AF-3", with_margin=_margin(lambda m: -m)),
    _mutant("af-cosface", "the margin is subtracted from the cosine", "AF-1", "AF-3", seen="CosFace under the name of ArcFace", with_margin=lambda s, x, w, m, b: (x * w).sum(-1) - m),
    _mutant("af-scale-inside", "the margin is subtracted after the scale", "AF-1", "AF-3", logits=_inside),
    _mutant("af-everywhere", "every class has the margin, not the label's alone", "AF-1", logits=_everywhere),
    _mutant("af-no-scale", "the scale is 1 whatever is asked for", "AF-1", logits=lambda s, x, w, y, k, m, b: ArcFace.logits(s, x, w, y, 1.0, m, b)),
    _mutant("af-default-scale", "the scale is 30 where it is not given", "AF-17", seen="ArcFace ports with s = 30", __call__=with_default(ArcFace, scale=30.0)),
    _mutant("af-degrees", "the margin is taken in degrees", "AF-3", seen="pytorch-metric-learning", with_margin=_margin(radians)),
    _mutant("af-default-degrees", "the default margin is 28.6 degrees", "AF-17", seen="pytorch-metric-learning: 0.49916", __call__=with_default(ArcFace, margin=0.49916416607037828)),
    _mutant("af-raw-embeddings", "embeddings are not brought to unit length", "AF-2", unit=lambda s, rows: rows, unit_weights=lambda s, w: ArcFace.unit(s, w)),
    _mutant("af-raw-weights", "class weights are not brought to unit length", "AF-2", "AF-1", unit_weights=lambda s, w: w),
    _mutant("af-floored-norm", "norms below 1 are taken for 1", "AF-2", "AF-1", unit=_floored_unit),
    _mutant("af-tiny-norm", "norms below 1e-6 are taken for 1e-6", "AF-2", seen="tf.math.l2_normalize", unit=lambda s, rows: rows / (rows * rows).sum(-1, keepdim=True).clamp(min=1e-12).sqrt()),
    _mutant("af-one-feature", "rows of one feature are refused", "CV-23", unit=_squeezed),
    _mutant("af-arc-cosine", "the angle is the arc cosine of the rounded cosine", "AF-4", "CV-15", "AF-13", seen="most public code", sine=_arc_cosine),
    _mutant("af-root", "the sine is the root of 1 - cos²", "AF-4", "CV-15", "AF-13", seen="open-metric-learning", sine=_root),
    _mutant("af-safe-root", "the sine is the root of max(1 - cos², 1e-12)", "AF-4", "CV-15", sine=_safe_root),
    _mutant("af-keep-falls", "past pi, keep falls back to linear", "AF-5", with_margin=lambda s, x, w, m, b: ArcFace.with_margin(s, x, w, m, "linear" if b == "keep" else b)),
    _mutant("af-never-falls", "past pi nothing changes", "AF-6", "AF-7", seen="insightface, whose threshold is not used", past=lambda s, c, m: torch.zeros_like(c, dtype=torch.bool)),
    _mutant("af-linear-sine", "linear is cos θ - sin m", "AF-6", beyond=lambda s, c, m, b: c - sin(m) if b == "linear" else ArcFace.beyond(s, c, m, b)),
    _mutant("af-linear-smooth", "linear has no jump", "AF-6", beyond=lambda s, c, m, b: c + cos(m) - 1),
    _mutant("af-continuous-jumps", "continuous jumps as linear does", "AF-7", beyond=lambda s, c, m, b: c - m * sin(m)),
    _mutant("af-past-right-angle", "the branch past pi starts at a right angle", "AF-8", seen="easy margin", past=lambda s, c, m: c < 0),
    _mutant("af-past-late", "the branch past pi starts at θ > π - m/2", "AF-8", "AF-6", "AF-7", past=lambda s, c, m: c < -cos(m / 2)),
    _mutant("af-past-sign", "the branch past pi starts at cos θ < cos m", "AF-8", "AF-6", "AF-7", past=lambda s, c, m: c < cos(m)),
    _mutant("af-zero-angle", "a zero row has the angle 0", "AF-9", sine=lambda s, x, w, c: ArcFace.sine(s, x, w, c).masked_fill((x == 0).all(-1) | (w == 0).all(-1), 0.0)),
    _mutant("af-zero-nan", "a zero row is NaN", "AF-9", "CV-5", "CV-7", unit=lambda s, rows: rows / (rows * rows).sum(-1, keepdim=True).sqrt()),
    _mutant("af-one-class", "with one class the loss is a sigmoid's", "AF-10", cross_entropy=_no_logit_of_one),
    _mutant("af-no-factor", "the margin is added without gradient: sin(θ + m)/sin θ is missing", "AF-11", seen="insightface", with_margin=_without_factor),
    _mutant("af-detached-weights", "class weights have no gradient", "AF-11", unit_weights=lambda s, w: ArcFace.unit(s, w).detach()),
    _mutant("af-detached-norm", "the norm of an embedding has no gradient", "AF-11", unit=lambda s, rows: rows / (rows * rows).sum(-1, keepdim=True).sqrt().detach().masked_fill((rows == 0).all(-1, keepdim=True), 1.0), unit_weights=lambda s, w: ArcFace.unit(s, w)),
    _mutant("af-gradient-near", "the gradient is 1.001 times too large", "AF-11", "CV-16", cross_entropy=_share(1.001)),
    _mutant("af-kept-gradient", "past pi the gradient is that of keep", "AF-12", with_margin=_kept_gradient),
    _mutant("af-flat-gradient", "past pi there is no gradient", "AF-12", beyond=lambda s, c, m, b: ArcFace.beyond(s, c, m, b).detach()),
    _mutant("af-bare-sine", "the square root is differentiated at 0", "AF-13", sine=_bare_sine),
    _mutant("af-pulled-zero", "a zero row gets the gradient of its unit vector", "AF-14", unit=_pulled_zero),
    _mutant("af-any-margin", "every margin is taken", "AF-15", check_margin=lambda s, m: None, with_margin=_margin(lambda m: m if 0 <= m < inf else 0.5)),
    _mutant("af-batch-mean", "the mean of the batch is subtracted from the unit embeddings", "AF-16", "AF-1", logits=_batch_mean),
    _mutant("af-default-linear", "linear is the default", "AF-17", __call__=with_default(ArcFace, beyond_pi="linear")),
    _mutant("af-weights-broadcast", "one class weight is taken for two", "CV-34", check_weights=lambda s, w, x: None, unit_weights=lambda s, w: ArcFace.unit(s, w if w.ndim == 2 else w[None].expand(2, -1))),
    _mutant("af-labels-half", "labels go through float16, which has no odd number above 2048", "AF-1", "AF-16", in_range=lambda s, y, k: ArcFace.in_range(s, y, k).half().long().clamp(max=max(k - 1, 0))),
    _mutant("af-clamped-label", "a label outside its range is moved into it", "CV-33", in_range=lambda s, y, k: y.clamp(0, k - 1)),
    _mutant("af-mask-times", "the mask is a factor", "CV-8", "CV-9", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), masked=lambda s, t, m: t * m),
    _mutant("af-count-all", "the mean counts rows that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("af-nan-swallowed", "an embedding with NaN is taken for zero", "CV-10", unit=lambda s, rows: ArcFace.unit(s, torch.where(torch.isnan(rows).any(-1, keepdim=True), 0.0, rows))),
    _mutant("af-narrowed", "class weights are cast down to the dtype of the rows", "CV-15", "CV-16", seen="autocast", widened=narrowed),
    _mutant("af-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
)  # fmt: skip

CORRECT = ArcFace()
__all__ = ["CORRECT", "MUTANTS"]
