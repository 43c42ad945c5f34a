"""Broken class weights of cross-entropy in PyTorch: right costs of classes, and what is wrong with how they are weighed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lossproof.backends.torch as right
from audit.mutants import Mutant, table


class Labelled:
    """Cross-entropy of labels with class weights; an instance is called like the function of the spec."""

    loss: Callable[..., Tensor] = staticmethod(right.cross_entropy_loss)

    def __call__(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """Return the loss; without class weights it is the right one."""
        return self.answer(logits, labels, **options)

    def answer(
        self, logits: Tensor, given: Tensor, *, class_weights: Any = None, reduction: str = "mean", **rest: Any
    ) -> Tensor:
        """Return the loss of labels, or of targets."""
        plain = type(self).loss(logits, given, reduction=reduction, **rest)  # refuses what is illegal
        if class_weights is None:
            return plain
        self.check(class_weights, logits)
        c = self.legal(self.own(class_weights)).to(plain.dtype)
        part, w = self.units(logits, rest.get("mask"), rest.get("weights"))
        z = torch.where(part[:, None], logits.to(plain.dtype), 0.0)
        t = self.smoothed(self.target(z, given, part), rest.get("label_smoothing", 0.0))
        terms = torch.where(part, self.terms(z, t, c), 0.0) * w.to(plain.dtype)
        if reduction != "mean":
            return terms if reduction == "none" else terms.sum()
        return self.quotient(terms.sum(), self.over(t, c, w.to(plain.dtype), part, given, rest.get("weights")))

    def check(self, class_weights: Tensor, logits: Tensor) -> None:
        """Refuse class weights of another shape or dtype."""
        self.check_dtype(class_weights, logits)
        if class_weights.shape != logits.shape[1:]:
            raise ValueError(f"class_weights must have shape {tuple(logits.shape[1:])}")

    def check_dtype(self, c: Tensor, logits: Tensor) -> None:
        """Refuse class weights that are no floats, or narrower than the logits."""
        if not c.is_floating_point() or torch.promote_types(c.dtype, logits.dtype) != c.dtype:
            raise TypeError(f"class_weights must have the dtype of the logits or a wider one, got {c.dtype}")

    def own(self, c: Tensor) -> Tensor:
        """Return class weights that are constants."""
        return c.detach()

    def legal(self, c: Tensor) -> Tensor:
        """Refuse what is no weight."""
        if bool((~((c >= 0) & c.isfinite())).any()):
            raise ValueError("class_weights must be in [0, inf)")
        return c

    def units(self, logits: Tensor, mask: Any, weights: Any) -> tuple[Tensor, Tensor]:
        """Return which rows take part, and the weight of each."""
        part = torch.ones(len(logits), dtype=torch.bool) if mask is None else mask
        w = torch.where(part, torch.ones(len(logits), dtype=logits.dtype) if weights is None else weights.detach(), 0.0)
        return part & (w != 0), w

    def target(self, z: Tensor, labels: Tensor, part: Tensor) -> Tensor:
        """Return the target of each row."""
        return (labels.long().masked_fill(~part, 0)[:, None] == torch.arange(z.shape[1])).to(z.dtype)

    def smoothed(self, t: Tensor, smoothing: float) -> Tensor:
        """Return the smoothed targets."""
        return (1 - smoothing) * t + smoothing / t.shape[1]

    def terms(self, z: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """Return the terms."""
        shares, cost = self.shares(t, c), -torch.log_softmax(z, -1)
        return (shares * cost.masked_fill(self.left_out(z, shares), 0.0)).sum(-1)

    def shares(self, t: Tensor, c: Tensor) -> Tensor:
        """Return what the classes of each row have."""
        return c * t

    def left_out(self, z: Tensor, shares: Tensor) -> Tensor:
        """Return the classes that cannot be."""
        return (shares == 0) & torch.isneginf(z)

    def over(self, t: Tensor, c: Tensor, w: Tensor, part: Tensor, labels: Tensor, weights: Any) -> Tensor:
        """Return what a mean divides by."""
        return (w * c[labels.long().masked_fill(~part, 0)]).sum()

    def quotient(self, total: Tensor, over: Tensor) -> Tensor:
        """Return the quotient, 0 over nothing."""
        return torch.where((over == 0) & ~total.isnan(), 0.0, total / torch.where(over == 0, 1.0, over))


class Shared(Labelled):
    """Cross-entropy of targets that are probabilities with class weights."""

    loss = staticmethod(right.soft_cross_entropy_loss)

    def __call__(self, logits: Tensor, targets: Tensor, **options: Any) -> Tensor:  # type: ignore[override]
        """Return the loss; without class weights it is the right one."""
        return self.answer(logits, targets, **options)

    def target(self, z: Tensor, targets: Tensor, part: Tensor) -> Tensor:
        """Return the target of each row."""
        return torch.where(part[:, None], targets.to(z.dtype), 0.0)

    def over(self, t: Tensor, c: Tensor, w: Tensor, part: Tensor, targets: Tensor, weights: Any) -> Tensor:
        """Return what a mean divides by."""
        return w.sum()


def _mutant(key: str, bug: str, *clauses: str, seen: str = "", **broken: Any) -> Mutant:
    base = Shared if clauses[0].startswith("ST") else Labelled
    loss = "soft_cross_entropy_loss" if base is Shared else "cross_entropy_loss"
    short = "st" if base is Shared else "ce"
    return Mutant(f"{short}-classes-{key}", bug, clauses, type("Broken", (base,), broken)(), seen, False, loss)


def _of_labels(self: Labelled, z: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """Weigh each row by the class that its target gives most."""
    cost = -torch.log_softmax(z, -1)
    weight = c[t.argmax(-1)]
    left_out = (t == 0) & torch.isneginf(z) | (weight == 0)[:, None] & torch.isneginf(z)
    return weight * (t * cost.masked_fill(left_out, 0.0)).sum(-1)


def _smoothed_alone(self: Labelled, t: Tensor, c: Tensor) -> Tensor:
    """Leave what smoothing gives to each class without a weight: the least of a row is taken for that."""
    spread = t.detach().amin(-1, keepdim=True)
    return c * (t - spread) + spread


def _unit_gradient(self: Labelled, z: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """Give the value of the terms, and p - c t as their gradient to the logits."""
    found, shares = Labelled.terms(self, z, t, c), (c * t).detach()
    slope = torch.softmax(z, -1).detach() - shares
    finite = torch.where(torch.isfinite(z), z, 0.0)
    of_targets = Labelled.terms(self, z.detach(), t, c)
    moved = (slope * (finite - finite.detach())).sum(-1) + (of_targets - of_targets.detach()).nan_to_num()
    return found.detach() + moved


def _target_unweighed(self: Labelled, t: Tensor, c: Tensor) -> Tensor:
    """Give the products, and to the targets the gradient without the weight of their class."""
    return (c * t).detach() + torch.where(c > 0, t - t.detach(), 0.0)


def _nan_swallowed(self: Labelled, z: Tensor, shares: Tensor) -> Tensor:
    return (shares == 0) & ~torch.isfinite(z)


def _row_left_out(self: Labelled, z: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """Take a row without any share for one of weight 0, NaN or not."""
    return torch.where((c * t).sum(-1) == 0, 0.0, Labelled.terms(self, z, t, c))


def _of_masked(self: Labelled, t: Tensor, c: Tensor, w: Tensor, part: Tensor, labels: Tensor, weights: Any) -> Tensor:
    everyone = torch.ones_like(w) if weights is None else weights.detach().nan_to_num().to(w.dtype)
    return (everyone * c[labels.long().clamp(0, len(c) - 1)]).sum()


def _by_weights(self: Labelled, t: Tensor, c: Tensor, w: Tensor, part: Tensor, labels: Tensor, weights: Any) -> Tensor:
    return w.sum() if weights is not None else Labelled.over(self, t, c, w, part, labels, weights)


def _one_for_all(self: Labelled, c: Tensor, logits: Tensor) -> None:
    self.check_dtype(c, logits)
    if c.shape not in (logits.shape[1:], (1,)):
        raise ValueError(f"class_weights must have shape {tuple(logits.shape[1:])}")


def _any_axes(self: Labelled, c: Tensor) -> Tensor:
    return c.detach().reshape(-1)


def _columns(self: Labelled, c: Tensor, logits: Tensor) -> None:
    self.check_dtype(c, logits)
    if c.numel() != logits.shape[1]:
        raise ValueError(f"class_weights must have {logits.shape[1]} numbers")


def _floats(self: Labelled, c: Tensor, logits: Tensor) -> None:
    if not c.is_floating_point():
        raise TypeError("class_weights must be floats")


def _normalised(self: Labelled, c: Tensor) -> Tensor:
    return c.detach() * c.numel() / c.detach().sum().clamp(min=1e-6)


def _nothing_if_wild(self: Labelled, c: Tensor) -> Tensor:
    return torch.where((c >= 0) & c.isfinite(), c, 0.0)


def _both(key: str, bug: str, ce: str, st: str, **broken: Any) -> tuple[Mutant, Mutant]:
    return _mutant(key, bug, ce, **broken), _mutant(key, bug, st, **broken)


MUTANTS: dict[str, Mutant] = table(
    *_both("unsmoothed", "what smoothing gives has no weight", "CE-13", "ST-17", shares=_smoothed_alone),
    *_both("normalised", "class weights are divided by their mean", "CE-13", "ST-17", own=_normalised),
    *_both("ignored", "class weights are accepted and not looked at", "CE-13", "ST-17", shares=lambda s, t, c: t),
    *_both("unit-sum", "the gradient to the logits is p - c t", "CE-15", "ST-19", terms=_unit_gradient),
    *_both("differentiable", "the class weights receive a gradient", "CE-15", "ST-19", own=lambda s, c: c),
    *_both("product", "0 times an infinite cost is NaN", "CE-16", "ST-20", left_out=lambda s, z, shares: torch.zeros_like(z, dtype=torch.bool)),
    *_both("nan-swallowed", "NaN of a class of weight 0 is left out", "CE-16", "ST-20", terms=_row_left_out, left_out=_nan_swallowed),
    *_both("columns", "class weights (K, 1) are taken as (K,)", "CE-17", "ST-21", check=_columns, own=_any_axes),
    _mutant("one-for-all", "one class weight is that of every class", "CE-17", check=_one_for_all, over=lambda s, t, c, w, p, y, own: (w * c.expand(t.shape[1])[y.long().masked_fill(~p, 0)]).sum()),
    _mutant("one-for-all", "one class weight is that of every class", "ST-21", check=_one_for_all),
    *_both("narrow", "class weights that are narrower than the logits are read", "CE-17", "ST-21", check_dtype=_floats),
    *_both("integers", "integer class weights are promoted", "CE-17", "ST-21", check_dtype=lambda s, c, z: None),
    *_both("negative", "a negative class weight is taken as it is", "CE-18", "ST-22", legal=lambda s, c: c),
    *_both("wild-is-nothing", "what is no class weight counts as 0", "CE-18", "ST-22", legal=_nothing_if_wild),
    _mutant("rows", "a row is weighed by the class of its label, smoothing included", "CE-13", seen="weights = table[labels]", terms=_of_labels),
    _mutant("mean-by-count", "a mean divides by the number of rows", "CE-14", seen="reduction='none' and then the mean", over=lambda s, t, c, w, p, y, own: p.sum().to(t.dtype)),
    _mutant("mean-by-weights", "with weights of rows a mean divides by these alone", "CE-14", over=_by_weights),
    _mutant("mean-smoothed", "a mean divides by what the smoothed targets have", "CE-14", over=lambda s, t, c, w, p, y, own: (w[:, None] * c * t).sum()),
    _mutant("mean-of-masked", "a mean counts the class weights of rows that are masked out", "CE-14", over=_of_masked),
    _mutant("nothing-is-nan", "a mean that divides by 0 is NaN", "CE-14", seen="cross_entropy of torch", quotient=lambda s, total, over: total / over),
    _mutant("nothing-is-sum", "a mean that would divide by 0 is the sum", "CE-14", quotient=lambda s, total, over: total / torch.where(over == 0, 1.0, over)),
    _mutant("mean-of-classes", "a mean divides by the sum of the class weights", "ST-18", over=lambda s, t, c, w, p, y, own: c.sum()),
    _mutant("mean-of-shares", "a mean divides by what the targets have", "ST-18", seen="the mean of labels, carried over", over=lambda s, t, c, w, p, y, own: (w[:, None] * c * t).sum()),
    _mutant("target-unweighed", "the gradient to a target lacks the weight of its class", "ST-19", shares=_target_unweighed),
    _mutant("rows", "a row is weighed by the class that its target gives most", "ST-17", terms=_of_labels),
)  # fmt: skip

__all__ = ["MUTANTS"]
