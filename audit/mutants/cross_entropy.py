"""Broken cross-entropy losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import TripletMargin, with_default

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


class CrossEntropy(TripletMargin):
    """The loss; dtypes and reductions are those of the correct triplet margin loss."""

    def __call__(  # type: ignore[override]
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        label_smoothing: float = 0.0,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of logits (B, K)."""
        self.check_smoothing(label_smoothing)
        self.check_choice("reduction", reduction, ("none", "sum", "mean"))
        self.check_dtypes((logits,))
        self.check_batch(logits)
        labels = self.labels(labels, logits.shape[0])
        if mask is not None:
            mask = self.checked_mask(mask, logits.shape[:1])
            labels = labels.masked_fill(~mask, 0)
        labels = self.in_range(labels, logits.shape[1])
        terms = self.terms(self.prepare(logits, mask), labels, label_smoothing)
        return self.reduce(terms, mask, reduction)

    def check_smoothing(self, value: float) -> None:
        """CE-6."""
        if not 0 <= value <= 1:
            raise ValueError(f"label_smoothing must be in [0, 1], got {value}")

    def check_batch(self, rows: Tensor) -> None:
        """CV-25, CV-34."""
        if rows.ndim != 2 or not rows.shape[1]:
            raise ValueError(f"a batch must have shape (B, K), got {tuple(rows.shape)}")

    def labels(self, labels: Tensor, rows: int) -> Tensor:
        """CV-31."""
        if labels.dtype not in INTEGERS or labels.shape != (rows,):
            raise ValueError(f"labels must be integers ({rows},), got {labels.dtype} {tuple(labels.shape)}")
        return labels.long()

    def in_range(self, labels: Tensor, classes: int) -> Tensor:
        """CV-33."""
        if labels.numel() and not (labels.min() >= 0 and labels.max() < classes):
            raise ValueError(f"labels must be in [0, {classes}), got {labels.tolist()}")
        return labels

    def terms(self, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """CE-1, CE-2: the target's shares of what each class costs, where it has one."""
        target, cost = self.target(z, labels, smoothing), self.cost(z)
        return torch.where(target == 0, 0.0, target * cost).sum(-1)

    def target(self, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """CE-2."""
        own = labels[:, None] == torch.arange(z.shape[1])
        return own.to(z.dtype) * (1 - smoothing) + smoothing / z.shape[1]

    def cost(self, z: Tensor) -> Tensor:
        """Return minus the logarithm of the softmax: CE-3."""
        below = z - z.detach().amax(-1, keepdim=True)
        return below.exp().sum(-1, keepdim=True).log() - below


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(CrossEntropy, method)]
    if unknown:
        raise ValueError(f"{name}: CrossEntropy has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (CrossEntropy,), methods)(), seen, ours, "cross_entropy_loss")


def _others_only(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    own, others = labels[:, None] == torch.arange(z.shape[1]), max(z.shape[1] - 1, 1)
    return own.to(z.dtype) * (1 - smoothing) + ~own * (smoothing / others)


def _unscaled(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    own = labels[:, None] == torch.arange(z.shape[1])
    return own.to(z.dtype) * (1 - smoothing) + ~own * (smoothing / z.shape[1])


def _by_library(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return torch.nn.functional.cross_entropy(z, labels, reduction="none", label_smoothing=smoothing)


def _shared_gradient(share: float) -> Callable[..., Tensor]:
    """Return `terms` whose value is right and whose gradient is `share` times as large."""

    def terms(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        found = CrossEntropy.terms(loss, z, labels, smoothing)
        if found.requires_grad:  # a hook, for arithmetic would make NaN of an infinite term
            hook: Any = found.register_hook
            hook(lambda gradient: share * gradient)
        return found

    return terms


def _one_hot_product(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return (loss.target(z, labels, smoothing) * loss.cost(z)).sum(-1)


def _finite_logits(loss: CrossEntropy, z: Tensor) -> Tensor:
    return CrossEntropy.cost(loss, z.clamp(min=-1e4) if z.dtype == torch.float32 else z.clamp(min=-1e5))


def _logits_forgotten(loss: CrossEntropy, z: Tensor) -> Tensor:
    """Count a class at -inf as one with the logit 0."""
    return CrossEntropy.cost(loss, torch.where(torch.isinf(z), 0.0, z))


def _gradient_of_ruled_out(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    found = CrossEntropy.terms(loss, z, labels, smoothing)
    out = torch.isneginf(z)
    extra = torch.where(out, z - z.detach(), 0.0).nan_to_num()
    finite = torch.where(out, 0.0, z)
    return found + 0.01 * torch.where(out.any(-1), (finite - finite.detach()).sum(-1) + extra.sum(-1), 0.0)


def _no_pivot(loss: CrossEntropy, z: Tensor) -> Tensor:
    return z.exp().sum(-1, keepdim=True).log() - z


def _first_pivot(loss: CrossEntropy, z: Tensor) -> Tensor:
    below = z - z.detach()[..., :512].amax(-1, keepdim=True)
    return below.exp().sum(-1, keepdim=True).log() - below


def _late_pivot(loss: CrossEntropy, z: Tensor) -> Tensor:
    """Subtract the logit from the whole normaliser, which is as large as the logits are."""
    return torch.logsumexp(z, -1, keepdim=True) - z


def _clipped(loss: CrossEntropy, z: Tensor) -> Tensor:
    return -z.softmax(-1).clamp(1e-7, 1 - 1e-7).log()


def _batch_pivot(loss: CrossEntropy, z: Tensor) -> Tensor:
    below = z - (z.detach().amax() if z.numel() else 0.0)
    return (below.exp().sum(-1, keepdim=True) + 1e-12).log() - below


def _next_label(loss: CrossEntropy, labels: Tensor, rows: int) -> Tensor:
    return CrossEntropy.labels(loss, labels.roll(1), rows)


MUTANTS: dict[str, Mutant] = table(
    _mutant("ce-two", "the logarithm is to base 2", "CE-1", cost=lambda s, z: CrossEntropy.cost(s, z) / 0.6931471805599453),
    _mutant("ce-probabilities", "the inputs are taken for probabilities", "CE-1", seen="Keras' from_logits=False", cost=lambda s, z: -z.abs().clamp(min=1e-7).log()),
    _mutant("ce-softmax-twice", "the softmax is taken twice", "CE-1", seen="a model that ends in a softmax", cost=lambda s, z: CrossEntropy.cost(s, z.softmax(-1))),
    _mutant("ce-smooth-others", "each other class has eps/(K - 1), and the label 1 - eps", "CE-2", seen="fast-reid", target=_others_only),
    _mutant("ce-smooth-short", "the label has 1 - eps in place of 1 - eps + eps/K", "CE-2", "CE-5", target=_unscaled),
    _mutant("ce-smooth-never", "smoothing is ignored", "CE-2", "CE-5", target=lambda s, z, y, e: CrossEntropy.target(s, z, y, 0.0)),
    _mutant("ce-smooth-sum", "smoothing adds eps to each class", "CE-2", "CE-5", target=lambda s, z, y, e: CrossEntropy.target(s, z, y, 0.0) * (1 - e) + e),
    _mutant("ce-smooth-one", "a smoothing of 1 is taken for none", "CE-5", target=lambda s, z, y, e: CrossEntropy.target(s, z, y, 0.0 if e == 1 else e)),
    _mutant("ce-smooth-negative", "a negative smoothing is adaptive", "CE-6", seen="fast-reid", check_smoothing=lambda s, e: None if e < 0 else CrossEntropy.check_smoothing(s, e), target=lambda s, z, y, e: CrossEntropy.target(s, z, y, max(e, 0.0))),
    _mutant("ce-smooth-any", "no smoothing is refused", "CE-6", check_smoothing=lambda s, e: None, target=lambda s, z, y, e: CrossEntropy.target(s, z, y, min(max(e, 0.0), 1.0))),
    _mutant("ce-default-smoothing", "smoothing is 0.1 where it is not given", "CE-12", seen="torchreid and reid-strong-baseline", __call__=with_default(CrossEntropy, label_smoothing=0.1)),
    _mutant("ce-no-pivot", "no number is subtracted before the exponentials", "CE-3", cost=_no_pivot),
    _mutant("ce-first-pivot", "the largest logit is looked for among the first 512", "CE-3", cost=_first_pivot),
    _mutant("ce-late-pivot", "the normaliser is added up before the logit is subtracted", "CE-3", "CV-15", cost=_late_pivot),
    _mutant("ce-batch-pivot", "the largest logit of the batch is subtracted, not that of the row", "CE-3", "CE-11", "CE-1", cost=_batch_pivot),
    _mutant("ce-clipped", "probabilities are clipped at 1e-7", "CE-3", "CE-1", seen="Keras", cost=_clipped),
    _mutant("ce-gradient-half", "the gradient is half as large", "CE-4", terms=_shared_gradient(0.5)),
    _mutant("ce-gradient-near", "the gradient is 1.001 times too large", "CE-4", "CV-16", terms=_shared_gradient(1.001)),
    _mutant("ce-one-hot", "a one-hot row times an infinite cost is NaN", "CE-7", seen="categorical cross-entropy of one-hot labels", terms=_one_hot_product),
    _mutant("ce-forgotten", "a logit of -inf is taken for 0", "CE-7", "CE-9", cost=_logits_forgotten),
    _mutant("ce-finite", "logits are kept above a number", "CE-9", cost=_finite_logits),
    _mutant("ce-no-share-of-infinity", "with a smoothing of 1 the label's infinite cost is multiplied by 0", "CE-9", seen="cross_entropy of torch", terms=_by_library),
    _mutant("ce-ruled-gradient", "a row with a class that is left out has another gradient", "CE-8", terms=_gradient_of_ruled_out),
    _mutant("ce-one-class", "with one class the loss is log 2", "CE-10", seen="a sigmoid for one logit", terms=lambda s, z, y, e: CrossEntropy.terms(s, z, y, e) + (0.6931471805599453 if z.shape[1] == 1 else 0.0)),
    _mutant("ce-one-class-nan", "one class divides by K - 1", "CE-10", seen="fast-reid", terms=lambda s, z, y, e: CrossEntropy.terms(s, z, y, e) + (torch.nan if z.shape[1] == 1 else 0.0)),
    _mutant("ce-next-label", "each row has the label of the row before", "CE-11", "CE-1", labels=_next_label),
    _mutant("ce-batch-norm", "logits are divided by their largest of the batch", "CE-11", "CE-1", cost=lambda s, z: CrossEntropy.cost(s, z / z.detach().abs().amax().clamp(min=1e-9) if z.numel() else z)),
    _mutant("ce-ignore", "the label 0 is ignored", "CE-1", "CE-2", seen="ignore_index", terms=lambda s, z, y, e: CrossEntropy.terms(s, z, y, e).masked_fill(y == 0, 0.0)),
    _mutant("ce-wrap", "a negative label counts from the end", "CV-33", in_range=lambda s, y, k: y.clamp(-k, k - 1) % k),
    _mutant("ce-clamped-label", "a label outside its range is moved into it", "CV-33", seen="clamping gathers", in_range=lambda s, y, k: y.clamp(0, k - 1)),
    _mutant("ce-nonzero", "the mean is over the terms that are not near 0", "CV-3", seen="fast-reid", count=lambda s, t, m, r: (t.detach() > 0.1).sum().clamp(min=1)),
    _mutant("ce-count-all", "the mean counts rows that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("ce-mask-times", "the mask is a factor", "CV-8", "CV-9", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), masked=lambda s, t, m: t * m),
    _mutant("ce-nan-swallowed", "NaN among the logits is taken for 0", "CV-10", cost=lambda s, z: CrossEntropy.cost(s, torch.where(torch.isnan(z), 0.0, z))),
    _mutant("ce-labels-int8", "labels are cast to eight bits", "CV-31", "CV-33", labels=lambda s, y, n: CrossEntropy.labels(s, y, n).to(torch.int8).long() % 256),
    _mutant("ce-labels-half", "labels go through float16, which has no odd number above 2048", "CE-1", "CE-11", in_range=lambda s, y, k: CrossEntropy.in_range(s, y, k).half().long().clamp(max=max(k - 1, 0))),
    _mutant("ce-mean-nonzero", "mean_nonzero, which this loss does not have, is taken for a reduction", "CV-27", check_choice=lambda s, n, v, known: TripletMargin.check_choice(s, n, v, (*known, "mean_nonzero"))),
    _mutant("ce-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
    _mutant("ce-column-labels", "labels (B, 1) are taken as (B,)", "CV-31", labels=lambda s, y, n: CrossEntropy.labels(s, y.reshape(-1) if y.numel() == n else y, n)),
    _mutant("ce-float-labels", "labels of floats are taken as integers", "CV-31", labels=lambda s, y, n: CrossEntropy.labels(s, y.long(), n)),
)  # fmt: skip

CORRECT = CrossEntropy()
__all__ = ["CORRECT", "MUTANTS"]
