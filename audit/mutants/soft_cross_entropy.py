"""Broken soft cross-entropy losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import TripletMargin, narrowed, with_default
from audit.mutants.cross_entropy import CrossEntropy


class SoftCrossEntropy(CrossEntropy):
    """The loss; dtypes, reductions and what a class costs are those of the correct cross-entropy loss."""

    def __call__(  # type: ignore[override]
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of logits and targets (B, K)."""
        self.check_smoothing(label_smoothing)
        self.check_choice("reduction", reduction, ("none", "sum", "mean"))
        self.check_wide(logits, targets)
        self.check_batch(logits)
        self.check_targets(logits, targets)
        if mask is not None:
            mask = self.checked_mask(mask, logits.shape[:1])
        z, t = self.widened(logits, targets)
        z, t = self.hidden(z, t, mask)
        return self.reduce(self.terms(z, self.not_negative(t), label_smoothing), mask, reduction)

    def check_targets(self, logits: Tensor, targets: Tensor) -> None:
        """ST-14."""
        if targets.shape != logits.shape:
            raise ValueError(f"targets must have shape {tuple(logits.shape)}, got {tuple(targets.shape)}")

    def hidden(self, z: Tensor, t: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """CV-8, CV-9."""
        return self.prepare(z, mask), self.prepare(t, mask)

    def not_negative(self, t: Tensor) -> Tensor:
        """ST-15."""
        if (t < 0).any():
            raise ValueError(f"targets must not be negative, got {t.tolist()}")
        return t

    def terms(self, z: Tensor, t: Tensor, smoothing: float) -> Tensor:
        """ST-1."""
        return self.products(z, self.shares(t, smoothing), self.cost(z)).sum(-1)

    def shares(self, t: Tensor, smoothing: float) -> Tensor:
        """ST-2, ST-3, ST-7."""
        return (1 - smoothing) * t + smoothing / t.shape[1]

    def products(self, z: Tensor, shares: Tensor, cost: Tensor) -> Tensor:
        """ST-9 to ST-11; ST-5 and ST-6 are their derivatives."""
        left_out = self.left_out(z, shares)
        return shares.masked_fill(left_out, 0.0) * cost.masked_fill(left_out, 0.0)

    def left_out(self, z: Tensor, shares: Tensor) -> Tensor:
        """ST-9."""
        return torch.isneginf(z) & (shares == 0)


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(SoftCrossEntropy, method)]
    if unknown:
        raise ValueError(f"{name}: SoftCrossEntropy has no {', '.join(unknown)}")
    return Mutant(
        name, bug, clauses, type("Broken", (SoftCrossEntropy,), methods)(), seen, ours, "soft_cross_entropy_loss"
    )


Loss = SoftCrossEntropy  # whose methods the functions below replace


def _shared_gradient(share: float) -> Callable[..., Tensor]:
    """Return `terms` whose value is right and whose gradient is `share` times as large."""

    def terms(loss: Loss, z: Tensor, t: Tensor, smoothing: float) -> Tensor:
        found = Loss.terms(loss, z, t, smoothing)
        if found.requires_grad:  # a hook, for arithmetic would make NaN of an infinite term
            hook: Any = found.register_hook
            hook(lambda gradient: share * gradient)
        return found

    return terms


def _unit_sum(loss: Loss, z: Tensor, t: Tensor, smoothing: float) -> Tensor:
    """Give each logit the softmax, whatever the targets add up to."""
    whole, total = loss.shares(t, smoothing).detach().sum(-1), torch.logsumexp(z, -1)
    return Loss.terms(loss, z, t, smoothing) + (1 - whole) * (total - total.detach())


def _entropy_subtracted(loss: Loss, z: Tensor, t: Tensor, smoothing: float) -> Tensor:
    return Loss.terms(loss, z, t, smoothing) + torch.xlogy(t, t).sum(-1)


def _largest(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    return Loss.shares(loss, (t == t.amax(-1, keepdim=True)).to(t.dtype), smoothing)


def _normalised(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    return Loss.shares(loss, t / t.sum(-1, keepdim=True).clamp(min=1e-30), smoothing)


def _last_is_the_rest(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    return Loss.shares(loss, torch.cat([t[:, :-1], 1 - t[:, :-1].sum(-1, keepdim=True)], 1), smoothing)


def _smoothed_by_sum(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * t + smoothing / t.shape[1] * t.sum(-1, keepdim=True)


def _smoothed_elsewhere(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * t + smoothing / max(t.shape[1] - 1, 1) * (t == 0)


def _whole_target(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    """Smooth the value, and give a target all of its gradient."""
    return Loss.shares(loss, t, smoothing) + smoothing * (t - t.detach())


def _unread(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    return Loss.shares(loss, t if smoothing < 1 else torch.zeros_like(t), smoothing)


def _of_positive_targets(loss: Loss, z: Tensor, shares: Tensor, cost: Tensor) -> Tensor:
    """Leave out a class without a share, with the gradient of its target."""
    return torch.where(shares == 0, 0.0, Loss.products(loss, z, shares, cost))


def _one_where(loss: Loss, z: Tensor, shares: Tensor, cost: Tensor) -> Tensor:
    """Choose after the product, whose gradient is 0 times infinity all the same."""
    return torch.where(loss.left_out(z, shares), 0.0, shares * cost)


def _target_of_the_left_out(loss: Loss, z: Tensor, shares: Tensor, cost: Tensor) -> Tensor:
    found = Loss.products(loss, z, shares, cost)
    return found + torch.where(loss.left_out(z, shares), shares * torch.logsumexp(z, -1, keepdim=True).detach(), 0.0)


def _gradient_of_others(loss: Loss, z: Tensor, shares: Tensor, cost: Tensor) -> Tensor:
    out = loss.left_out(z, shares)
    finite = torch.where(torch.isneginf(z), 0.0, z)
    return Loss.products(loss, z, shares, cost) + 0.01 * torch.where(
        out.any(-1, keepdim=True), finite - finite.detach(), 0
    )


def _no_pivot(loss: Loss, z: Tensor) -> Tensor:
    return z.exp().sum(-1, keepdim=True).log() - z


def _first_pivot(loss: Loss, z: Tensor) -> Tensor:
    below = z - z.detach()[..., :512].amax(-1, keepdim=True)
    return below.exp().sum(-1, keepdim=True).log() - below


def _late_pivot(loss: Loss, z: Tensor) -> Tensor:
    return torch.logsumexp(z, -1, keepdim=True) - z


def _finite_logits(loss: Loss, z: Tensor) -> Tensor:
    return Loss.cost(loss, z.clamp(min=-1e5))


def _forgotten(loss: Loss, z: Tensor) -> Tensor:
    return Loss.cost(loss, torch.where(torch.isinf(z), 0.0, z))


def _by_batch(loss: Loss, t: Tensor, smoothing: float) -> Tensor:
    most = t.detach().sum(-1).amax().clamp(min=1e-30) if t.numel() else 1.0
    return Loss.shares(loss, t / most, smoothing)


def _broadcast(*axes: int) -> Callable[..., None]:
    """Return a check that lets an axis of length 1 pass."""

    def check_targets(loss: Loss, logits: Tensor, targets: Tensor) -> None:
        alike = [
            m == n or (n == 1 and k in axes) for k, (m, n) in enumerate(zip(logits.shape, targets.shape, strict=False))
        ]
        if targets.ndim != 2 or not all(alike):
            raise ValueError("targets must have the shape of logits")

    return check_targets


def _narrow(loss: Loss, rows: Tensor, *others: Tensor) -> None:
    loss.check_dtypes((rows,))
    for targets in others:
        loss.check_dtypes((targets,))


def _negative_sums(loss: Loss, t: Tensor) -> Tensor:
    if (t.sum(-1) < 0).any():
        raise ValueError("targets must not be negative")
    return t


def _before_the_mask(loss: Loss, z: Tensor, t: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    loss.not_negative(t)
    return Loss.hidden(loss, z, t, mask)


MUTANTS: dict[str, Mutant] = table(
    _mutant("st-two", "the logarithm is to base 2", "ST-1", cost=lambda s, z: Loss.cost(s, z) / 0.6931471805599453),
    _mutant("st-probabilities", "the inputs are taken for probabilities", "ST-1", seen="Keras' from_logits=False", cost=lambda s, z: -z.abs().clamp(min=1e-7).log()),
    _mutant("st-divergence", "the entropy of the targets is subtracted", "ST-1", "ST-6", seen="kl_div of torch", terms=_entropy_subtracted),
    _mutant("st-largest", "the class with the largest target is the label", "ST-1", "ST-2", seen="argmax of mixed targets", shares=_largest),
    _mutant("st-teacher-logits", "the targets are taken for logits", "ST-1", "ST-2", shares=lambda s, t, e: Loss.shares(s, t.softmax(-1), e)),
    _mutant("st-mean-classes", "a term is a mean over the classes", "ST-1", seen="a mean over all entries", terms=lambda s, z, t, e: Loss.terms(s, z, t, e) / z.shape[1]),
    _mutant("st-normalised", "the targets are divided by their sum", "ST-2", shares=_normalised),
    _mutant("st-last", "the last class has what is left to 1", "ST-2", shares=_last_is_the_rest),
    _mutant("st-nothing", "a row of zeros is NaN", "ST-2", seen="0/0", shares=lambda s, t, e: Loss.shares(s, t * (t.detach().sum(-1, keepdim=True) / t.detach().sum(-1, keepdim=True)), e)),
    _mutant("st-smooth-row", "smoothing gives a class eps/K of the row's sum", "ST-3", shares=_smoothed_by_sum),
    _mutant("st-smooth-others", "smoothing gives eps/(K - 1) to the classes without a target", "ST-3", seen="fast-reid", shares=_smoothed_elsewhere),
    _mutant("st-smooth-short", "smoothing takes away and gives nothing", "ST-3", "ST-7", shares=lambda s, t, e: (1 - e) * t),
    _mutant("st-smooth-never", "smoothing is ignored", "ST-3", "ST-7", shares=lambda s, t, e: t),
    _mutant("st-smooth-one", "a smoothing of 1 is taken for none", "ST-7", shares=lambda s, t, e: Loss.shares(s, t, 0.0 if e == 1 else e)),
    _mutant("st-unread", "with a smoothing of 1 nobody looks at the targets, NaN or not", "CV-10", "ST-7", shares=_unread),
    _mutant("st-smooth-any", "no smoothing is refused", "ST-8", check_smoothing=lambda s, e: None, shares=lambda s, t, e: Loss.shares(s, t, min(max(e, 0.0), 1.0))),
    _mutant("st-no-pivot", "no number is subtracted before the exponentials", "ST-4", cost=_no_pivot),
    _mutant("st-first-pivot", "the largest logit is looked for among the first 512", "ST-4", cost=_first_pivot),
    _mutant("st-late-pivot", "the normaliser is added up before the logit is subtracted", "ST-4", "CV-15", cost=_late_pivot),
    _mutant("st-clipped", "probabilities are clipped at 1e-7", "ST-4", "ST-1", seen="Keras", cost=lambda s, z: -z.softmax(-1).clamp(1e-7, 1 - 1e-7).log()),
    _mutant("st-unit-sum", "the gradient to the logits is that of a row that adds up to 1", "ST-5", seen="tf.nn.softmax_cross_entropy_with_logits", terms=_unit_sum),
    _mutant("st-gradient-half", "the gradients are half as large", "ST-5", "ST-6", terms=_shared_gradient(0.5)),
    _mutant("st-gradient-near", "the gradients are 1.001 times too large", "ST-5", "ST-6", "CV-16", terms=_shared_gradient(1.001)),
    _mutant("st-constant", "the targets are constants", "ST-6", seen="a teacher that is detached", shares=lambda s, t, e: Loss.shares(s, t.detach(), e)),
    _mutant("st-zero-constant", "a target of 0 has no gradient", "ST-6", seen="a product that is left out where the target is 0", products=_of_positive_targets),
    _mutant("st-whole-target", "smoothing takes nothing from the gradient of a target", "ST-6", shares=_whole_target),
    _mutant("st-product", "a target of 0 times an infinite cost is NaN", "ST-9", seen="cross_entropy of torch, optax and Keras", left_out=lambda s, z, shares: torch.zeros_like(z, dtype=torch.bool)),
    _mutant("st-forgotten", "a logit of -inf is taken for 0", "ST-9", "ST-11", cost=_forgotten),
    _mutant("st-one-where", "the gradient to the target of a class that is left out is NaN", "ST-10", products=_one_where),
    _mutant("st-left-target", "the target of a class that is left out has the gradient of the normaliser", "ST-10", products=_target_of_the_left_out),
    _mutant("st-left-others", "a row with a class that is left out has another gradient", "ST-10", products=_gradient_of_others),
    _mutant("st-finite", "logits are kept above a number", "ST-11", cost=_finite_logits),
    _mutant("st-left-always", "a logit of -inf leaves its class out, share or not", "ST-11", left_out=lambda s, z, shares: torch.isneginf(z)),
    _mutant("st-one-class", "with one class the loss is log 2", "ST-12", seen="a sigmoid for one logit", terms=lambda s, z, t, e: Loss.terms(s, z, t, e) + (0.6931471805599453 if z.shape[1] == 1 else 0.0)),
    _mutant("st-one-class-nan", "one class divides by K - 1", "ST-12", terms=lambda s, z, t, e: Loss.terms(s, z, t, e) + (torch.nan if z.shape[1] == 1 else 0.0)),
    _mutant("st-next-row", "each row has the targets of the row before", "ST-13", "ST-1", seen="mixup with another order", not_negative=lambda s, t: Loss.not_negative(s, t.roll(1, 0))),
    _mutant("st-batch-sum", "targets are divided by the largest sum of the batch", "ST-13", "ST-2", shares=_by_batch),
    _mutant("st-one-row", "targets (1, K) are those of every row", "ST-14", check_targets=_broadcast(0)),
    _mutant("st-one-column", "targets (B, 1) are those of every class", "ST-14", check_targets=_broadcast(1)),
    _mutant("st-narrow", "targets that are narrower than the logits are widened", "CV-26", check_wide=_narrow),
    _mutant("st-narrowed", "targets are cast to the dtype of the logits", "CV-15", "CV-16", "CV-18", widened=narrowed),
    _mutant("st-negative", "a negative target is taken as it is", "ST-15", seen="torch, optax and Keras", not_negative=lambda s, t: t),
    _mutant("st-clamped", "a negative target is taken for 0", "ST-15", not_negative=lambda s, t: t.clamp(min=0.0)),
    _mutant("st-negative-sum", "a row is refused where its sum is negative", "ST-15", not_negative=_negative_sums),
    _mutant("st-negative-masked", "a negative target is refused in a row that is masked out, too", "ST-15", hidden=_before_the_mask),
    _mutant("st-default-smoothing", "smoothing is 0.1 where it is not given", "ST-16", seen="torchreid and reid-strong-baseline", __call__=with_default(SoftCrossEntropy, label_smoothing=0.1)),
    _mutant("st-count-all", "the mean counts rows that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("st-count-positive", "the mean leaves out terms that are 0", "ST-2", "CV-3", seen="fast-reid", count=lambda s, t, m, r: (t.detach() != 0).sum().clamp(min=1)),
    _mutant("st-mask-times", "the mask is a factor", "CV-8", "CV-9", hidden=lambda s, z, t, m: Loss.hidden(s, z, t, None), masked=lambda s, t, m: t * m),
    _mutant("st-nan-target", "NaN among the targets is taken for 0", "CV-10", not_negative=lambda s, t: Loss.not_negative(s, torch.where(torch.isnan(t), 0.0, t))),
    _mutant("st-nan-logit", "NaN among the logits is taken for 0", "CV-10", cost=lambda s, z: Loss.cost(s, torch.where(torch.isnan(z), 0.0, z))),
    _mutant("st-mean-nonzero", "mean_nonzero, which this loss does not have, is taken for a reduction", "CV-27", check_choice=lambda s, n, v, known: TripletMargin.check_choice(s, n, v, (*known, "mean_nonzero"))),
    _mutant("st-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
)  # fmt: skip

CORRECT = SoftCrossEntropy()
__all__ = ["CORRECT", "MUTANTS"]
