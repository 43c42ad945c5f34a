"""Broken joint losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import narrowed, with_default
from audit.mutants.cross_entropy import CrossEntropy


class Joint(CrossEntropy):
    """The loss; labels and dtypes are those of the correct cross-entropy loss."""

    def __call__(  # type: ignore[override]
        self,
        logits: Tensor,
        embeddings: Tensor,
        labels: Tensor,
        centers: Tensor,
        *,
        triplet_weight: float = 1.0,
        center_weight: float = 5e-4,
        triplet_margin: float = 0.3,
        label_smoothing: float = 0.1,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of logits (B, K), embeddings (B, D) and centers (K, D)."""
        for name, value in (("triplet_weight", triplet_weight), ("center_weight", center_weight)):
            self.check_number(name, value, 0.0)
        self.check_number("triplet_margin", triplet_margin, 0.0)
        self.check_smoothing(label_smoothing)
        self.check_wide(embeddings, logits, centers)
        self.check_batch(logits)
        self.check_batch(embeddings)
        centers = self.table(centers, logits, embeddings)
        labels = self.labels(labels, len(embeddings))
        if mask is not None:
            mask = self.checked_mask(mask, embeddings.shape[:1])
            labels = labels.masked_fill(~mask, 0)
        labels = self.in_range(labels, logits.shape[1])
        table = centers.to(self.arithmetic(centers.dtype))
        embeddings, logits, table = self.widened(self.prepare(embeddings, mask), self.prepare(logits, mask), table)
        takes_part = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
        own = self.own(logits, labels, label_smoothing, takes_part)
        triplet = self.triplet(embeddings, labels, triplet_margin, takes_part)
        pull = self.pull(embeddings, labels, table, takes_part)
        return self.combine(own, triplet, pull, triplet_weight, center_weight)

    def table(self, centers: Tensor, logits: Tensor, embeddings: Tensor) -> Tensor:
        """JO-8, CV-34."""
        if len(logits) != len(embeddings) or centers.shape != (logits.shape[1], embeddings.shape[1]):
            raise ValueError(f"centers must have one row for each class, got {tuple(centers.shape)}")
        return centers

    def mean(self, terms: Tensor, counted: Tensor) -> Tensor:
        """Return the mean of the terms that count: JO-5."""
        return terms.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)

    def own(self, z: Tensor, labels: Tensor, smoothing: float, takes_part: Tensor) -> Tensor:
        """JO-2."""
        return self.mean(CrossEntropy.terms(self, z, labels, smoothing), takes_part)

    def triplet(self, x: Tensor, labels: Tensor, margin: float, takes_part: Tensor) -> Tensor:
        """JO-3."""
        if not len(x):
            return x.sum()
        positive, negative = self.candidates(labels, takes_part)
        anchors = positive.any(-1) & negative.any(-1)
        apart = (x[:, None] - x).detach().square().sum(-1)
        far = self.length(x, apart.masked_fill(~positive, -1.0).argmax(-1))
        near = self.length(x, apart.masked_fill(~negative, torch.inf).argmin(-1))
        lost = torch.where(torch.isnan(x[takes_part]).any(), torch.nan, 0.0)
        return self.mean(torch.relu(margin + far - near) + lost, self.anchors(anchors, takes_part))

    def candidates(self, labels: Tensor, takes_part: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positives and the negatives of each anchor."""
        same, both = labels[:, None] == labels, takes_part[:, None] & takes_part
        return same & both & ~torch.eye(len(labels), dtype=torch.bool), ~same & both

    def anchors(self, anchors: Tensor, takes_part: Tensor) -> Tensor:
        """Return the anchors that count."""
        return anchors

    def length(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the distance of each row from another one."""
        square = (x - x[other]).square().sum(-1)
        return square.masked_fill(square == 0, 1.0).sqrt().masked_fill(square == 0, 0.0)

    def pull(self, x: Tensor, labels: Tensor, centers: Tensor, takes_part: Tensor) -> Tensor:
        """JO-4."""
        t = (x - centers[labels]).masked_fill(~takes_part[:, None], 0.0)
        return self.mean(t.square().sum(-1), takes_part)

    def combine(self, own: Tensor, triplet: Tensor, pull: Tensor, w_t: float, w_c: float) -> Tensor:
        """JO-1."""
        return own + w_t * triplet + w_c * pull


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(Joint, method)]
    if unknown:
        raise ValueError(f"{name}: Joint has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (Joint,), methods)(), seen, ours, "joint_loss")


def _with_itself(loss: Joint, labels: Tensor, takes_part: Tensor) -> tuple[Tensor, Tensor]:
    positive, negative = Joint.candidates(loss, labels, takes_part)
    return positive | torch.diag(takes_part), negative


def _unscaled_centers(loss: Joint, own: Tensor, triplet: Tensor, pull: Tensor, w_t: float, w_c: float) -> Tensor:
    """Keep the value; the gradient of the center loss has no weight."""
    return own + w_t * triplet + (w_c * pull).detach() + pull - pull.detach()


def _detached(loss: Joint, x: Tensor, labels: Tensor, centers: Tensor, takes_part: Tensor) -> Tensor:
    return Joint.pull(loss, x, labels, centers.detach(), takes_part)


def _first_negative(loss: Joint, x: Tensor, labels: Tensor, margin: float, takes_part: Tensor) -> Tensor:
    """Shared gradient among distances that tie: the mean of all of the largest."""
    if not len(x):
        return x.sum()
    positive, negative = loss.candidates(labels, takes_part)
    anchors = positive.any(-1) & negative.any(-1)
    square = (x[:, None] - x).square().sum(-1)
    d = square.masked_fill(square == 0, 1.0).sqrt().masked_fill(square == 0, 0.0)
    far, near = d.masked_fill(~positive, -torch.inf).amax(-1), d.masked_fill(~negative, torch.inf).amin(-1)
    return loss.mean(torch.relu(torch.where(anchors, margin + far - near, 0.0)), anchors)


def _padded(loss: Joint, centers: Tensor, logits: Tensor, embeddings: Tensor) -> Tensor:
    if len(centers) >= logits.shape[1] or len(logits) != len(embeddings):
        return centers if len(logits) == len(embeddings) else Joint.table(loss, centers, logits, embeddings)
    return centers[:1].expand(logits.shape[1], -1)


def _first_row(loss: Joint, x: Tensor, labels: Tensor, margin: float, takes_part: Tensor) -> Tensor:
    """Count the first row twice."""
    found = Joint.triplet(loss, x, labels, margin, takes_part)
    return found + 0.1 * x[:1].detach().square().sum().nan_to_num()


MUTANTS: dict[str, Mutant] = table(
    _mutant("jo-no-triplet-weight", "the triplet loss has no weight", "JO-1", "JO-3", combine=lambda s, o, t, p, a, b: o + t + b * p),
    _mutant("jo-no-center-weight", "the center loss has no weight", "JO-1", "JO-4", combine=lambda s, o, t, p, a, b: o + a * t + p),
    _mutant("jo-average", "the parts are averaged", "JO-1", combine=lambda s, o, t, p, a, b: (o + a * t + b * p) / (1 + a + b)),
    _mutant("jo-convex", "the cross-entropy is weighed with 1 - w_t", "JO-1", combine=lambda s, o, t, p, a, b: (1 - a) * o + a * t + b * p),
    _mutant("jo-swapped-weights", "the weights are swapped", "JO-1", "JO-3", "JO-4", combine=lambda s, o, t, p, a, b: o + b * t + a * p),
    _mutant("jo-no-smoothing", "the labels are not smoothed", "JO-2", "JO-6", own=lambda s, z, y, e, m: Joint.own(s, z, y, 0.0, m)),
    _mutant("jo-always-smoothed", "the smoothing is 0.1 whatever is asked for", "JO-2", own=lambda s, z, y, e, m: Joint.own(s, z, y, 0.1, m)),
    _mutant("jo-own-sum", "the cross-entropy is a sum", "JO-2", "JO-1", own=lambda s, z, y, e, m: Joint.own(s, z, y, e, m) * m.sum()),
    _mutant("jo-itself", "an anchor is one of its own positives", "JO-3", "JO-5", seen="reid-strong-baseline", candidates=_with_itself),
    _mutant("jo-squared", "the triplet loss compares squared distances", "JO-3", length=lambda s, x, o: (x - x[o]).square().sum(-1)),
    _mutant("jo-margin", "the margin is 0.3 whatever is asked for", "JO-3", triplet=lambda s, x, y, m, t: Joint.triplet(s, x, y, 0.3, t)),
    _mutant("jo-half-center", "the center loss has the paper's ½", "JO-4", pull=lambda s, x, y, c, m: Joint.pull(s, x, y, c, m) / 2),
    _mutant("jo-center-sum", "the center loss is a sum", "JO-4", "JO-1", seen="Wen et al., eq. 2", pull=lambda s, x, y, c, m: Joint.pull(s, x, y, c, m) * m.sum()),
    _mutant("jo-center-features", "the center loss is a mean over rows and features", "JO-4", "JO-1", seen="a mean squared error", pull=lambda s, x, y, c, m: Joint.pull(s, x, y, c, m) / x.shape[1]),
    _mutant("jo-all-anchors", "the triplet loss divides by all rows", "JO-5", "JO-3", anchors=lambda s, a, m: m),
    _mutant("jo-rows-of-anchors", "a batch without triplets has no loss at all", "JO-5", seen="skipping a batch", combine=lambda s, o, t, p, a, b: torch.where(t == 0, 0.0, 1.0) * (o + a * t + b * p)),
    _mutant("jo-default-center", "center_weight is 0.005 where it is not given", "JO-6", __call__=with_default(Joint, center_weight=0.005)),
    _mutant("jo-default-smoothing", "nothing is smoothed where it is not said", "JO-6", __call__=with_default(Joint, label_smoothing=0.0)),
    _mutant("jo-center-gradient", "the gradient of the center loss has no weight", "JO-7", seen="reid-strong-baseline's training loop", combine=_unscaled_centers),
    _mutant("jo-detached-centers", "the centers have no gradient", "JO-7", pull=_detached),
    _mutant("jo-detached-triplet", "the triplet loss has no gradient", "JO-7", triplet=lambda s, x, y, m, t: Joint.triplet(s, x, y, m, t).detach()),
    _mutant("jo-shared-ties", "rows that tie share the gradient", "BH-8", ours=True, triplet=_first_negative),
    _mutant("jo-any-centers", "a table of another length is taken", "JO-8", table=_padded),
    _mutant("jo-first-row", "the first row counts twice", "JO-9", triplet=_first_row),
    _mutant("jo-mask-own", "the cross-entropy does not see the mask", "CV-7", "JO-5", own=lambda s, z, y, e, m: Joint.own(s, z, y, e, torch.ones_like(m))),
    _mutant("jo-mask-negatives", "masked rows are negatives", "CV-7", "CV-8", "JO-5", candidates=lambda s, y, m: (Joint.candidates(s, y, m)[0], y[:, None] != y)),
    _mutant("jo-clamped-label", "a label outside its range is moved into it", "CV-33", in_range=lambda s, y, k: y.clamp(0, k - 1)),
    _mutant("jo-narrowed", "logits and centers are cast down to the dtype of the rows", "CV-15", "CV-16", seen="autocast", widened=narrowed),
)  # fmt: skip

CORRECT = Joint()
__all__ = ["CORRECT", "MUTANTS"]
