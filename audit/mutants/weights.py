"""Broken weights in PyTorch: a right loss of unweighted terms, and what is wrong with how they are weighed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lossproof.backends.torch as right
from audit.mutants import Mutant, table

Terms = Callable[..., Tensor]


class Weighed:
    """A loss whose units have rows of their own, with weights; an instance is called like the function of the spec."""

    def __init__(self, loss: Terms):
        self.loss = loss

    def __call__(
        self, *rows: Tensor, weights: Any = None, mask: Any = None, reduction: str = "mean", **rest: Any
    ) -> Tensor:
        """Return the loss; without weights it is the right one."""
        if weights is None:
            return self.loss(*rows, mask=mask, reduction=reduction, **rest)
        first = (*rows, *(array for array in rest.values() if isinstance(array, Tensor)))[0]
        self.check(weights, first)
        part = torch.ones(first.shape[:-1], dtype=torch.bool) if mask is None else mask
        w = self.legal(torch.where(part, self.own(weights), 0.0))
        part = self.kept(part, w)
        terms = self.loss(*rows, mask=part, reduction="none", **rest)
        return self.reduced(terms, part, self.wide(w, terms), reduction)

    def check(self, weights: Tensor, rows: Tensor) -> None:
        """Refuse weights of another shape or dtype."""
        self.check_dtype(weights, rows)
        if weights.shape != rows.shape[:-1]:
            raise ValueError(f"weights must have shape {tuple(rows.shape[:-1])}, got {tuple(weights.shape)}")

    def check_dtype(self, weights: Tensor, rows: Tensor) -> None:
        """Refuse weights that are no floats, or narrower than the rows."""
        if not weights.is_floating_point() or torch.promote_types(weights.dtype, rows.dtype) != weights.dtype:
            raise TypeError(f"weights must have the dtype of the rows or a wider one, got {weights.dtype}")

    def own(self, weights: Tensor) -> Tensor:
        """Return weights that are constants."""
        return weights.detach()

    def legal(self, weights: Tensor) -> Tensor:
        """Refuse what is no weight."""
        if bool((~((weights >= 0) & weights.isfinite())).any()):
            raise ValueError("weights must be in [0, inf)")
        return weights

    def wide(self, weights: Tensor, terms: Tensor) -> Tensor:
        """Return weights in the dtype of the terms."""
        return weights.to(terms.dtype)

    def kept(self, part: Tensor, weights: Tensor) -> Tensor:
        """Return which units take part and weigh something."""
        return part & (weights != 0)

    def reduced(self, terms: Tensor, part: Tensor, w: Tensor, reduction: str) -> Tensor:
        """Return the reduction of the weighed terms."""
        products = self.products(terms, w)
        if reduction == "none":
            return products
        total = self.total(products)
        if reduction == "sum":
            return total
        counted = part & ~(terms.detach() <= 0) if reduction == "mean_nonzero" else part
        return self.over(total, self.weight(counted, part, w))

    def products(self, terms: Tensor, w: Tensor) -> Tensor:
        """Return each term times its weight."""
        return terms * w

    def total(self, products: Tensor) -> Tensor:
        """Return the sum."""
        return products.sum()

    def weight(self, counted: Tensor, part: Tensor, w: Tensor) -> Tensor:
        """Return what a mean divides by."""
        return torch.where(counted, w, 0.0).sum()

    def over(self, total: Tensor, weight: Tensor) -> Tensor:
        """Return the quotient, 0 over nothing."""
        return total / torch.where(weight == 0, 1.0, weight)


class Poisoned(Weighed):
    """The same, with the rows of weight 0 left as they are and their terms taken out afterwards."""

    def kept(self, part: Tensor, weights: Tensor) -> Tensor:
        """Return which units take part, whatever they weigh."""
        return part

    def products(self, terms: Tensor, w: Tensor) -> Tensor:
        """Return the products, 0 where the weight is."""
        return torch.where(w == 0, 0.0, terms * w)


def _of(base: type[Weighed], loss: Terms, **broken: Any) -> Weighed:
    kind = type("Broken", (base,), broken)
    return kind(loss)  # type: ignore[no-any-return]


def _mutant(key: str, bug: str, clauses: tuple[str, ...], base: type[Weighed] = Weighed, **broken: Any) -> Mutant:
    return Mutant(f"weights-{key}", bug, clauses, _of(base, right.triplet_margin_loss, **broken))


def _ignoring(loss: Terms) -> Terms:
    def ignored(*rows: Any, weights: Any = None, **rest: Any) -> Tensor:
        return loss(*rows, **rest)

    return ignored


def _unweighed_gradient(self: Any, terms: Tensor, w: Tensor) -> Tensor:
    return terms + (terms * w - terms).detach()


def _as_mask(loss: Terms) -> Terms:
    """Return a mined loss that takes an anchor of weight 0 from the others, too."""

    def masked(embeddings: Tensor, labels: Tensor, *, weights: Any = None, mask: Any = None, **rest: Any) -> Tensor:
        if weights is not None:
            mask = weights != 0 if mask is None else mask & (weights != 0)
        return loss(embeddings, labels, weights=weights, mask=mask, **rest)

    return masked


def _by_terms(loss: Terms) -> Terms:
    """Return a mined loss whose means divide by what they would divide by without weights."""

    def divided(
        embeddings: Tensor, labels: Tensor, *, weights: Any = None, reduction: str = "mean", **rest: Any
    ) -> Tensor:
        if weights is None or not reduction.startswith("mean"):
            return loss(embeddings, labels, weights=weights, reduction=reduction, **rest)
        with torch.no_grad():
            total, mean = (loss(embeddings, labels, reduction=r, **rest) for r in ("sum", reduction))
        share = torch.where(total == 0, 0.0, mean / total)
        return loss(embeddings, labels, weights=weights, reduction="sum", **rest) * share

    return divided


def _of_the_positive(
    embeddings: Tensor, labels: Tensor, *, weights: Any = None, reduction: str = "mean", **rest: Any
) -> Tensor:
    """Semi-hard with the weight of the positive in place of that of the anchor."""
    loss = right.semi_hard_triplet_loss
    if weights is None:
        return loss(embeddings, labels, reduction=reduction, **rest)
    loss(embeddings, labels, weights=weights, reduction=reduction, **rest)  # refuses what is illegal
    terms = loss(embeddings, labels, reduction="none", **rest)
    same = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool)
    part = rest.get("mask")
    same = same if part is None else same & part & part[:, None]
    has = (labels[:, None] != labels) if part is None else (labels[:, None] != labels) & part
    pairs = same & has.any(-1, keepdim=True)
    return Poisoned(loss).reduced(terms, pairs, torch.where(pairs, weights.detach().to(terms.dtype), 0.0), reduction)


def _unless_rooted(*rows: Tensor, weights: Any = None, **rest: Any) -> Tensor:
    """Triplet margin that counts its terms where eps stands below the root, whatever they weigh."""
    rooted = weights is not None and rest.get("eps_at") == "root"
    by_count = _of(Weighed, right.triplet_margin_loss, weight=lambda s, c, p, w: c.sum())
    return (by_count if rooted else right.triplet_margin_loss)(*rows, weights=weights, **rest)


def _unless_bounded(embeddings: Tensor, labels: Tensor, *, weights: Any = None, **rest: Any) -> Tensor:
    """Batch-all that counts triplets beside `max_positives`, whatever their anchors weigh."""
    loss = right.batch_all_triplet_loss
    bounded = weights is not None and rest.get("max_positives") is not None
    return (_by_terms(loss) if bounded else loss)(embeddings, labels, weights=weights, **rest)


def _first_part_alone(
    logits: Tensor, embeddings: Tensor, labels: Tensor, centers: Tensor, *, weights: Any = None, **rest: Any
) -> Tensor:
    """The joint loss with weights in the cross-entropy alone."""
    plain = right.joint_loss(logits, embeddings, labels, centers, **rest)
    if weights is None:
        return plain
    right.joint_loss(logits, embeddings, labels, centers, weights=weights, **rest)  # refuses what is illegal
    options = {"label_smoothing": rest.get("label_smoothing", 0.1), "mask": rest.get("mask")}
    own = [right.cross_entropy_loss(logits, labels, weights=w, **options) for w in (weights.to(logits.dtype), None)]
    return plain + own[0] - own[1]


def _looking_at_all(embeddings: Tensor, labels: Tensor, *tables: Tensor, weights: Any = None, **rest: Any) -> Tensor:
    """OIM that refuses a NaN among the weights, whoever it belongs to."""
    if weights is not None and bool(weights.isnan().any()):
        raise ValueError("weights must be in [0, inf), got nan")
    return right.oim_loss(embeddings, labels, *tables, weights=weights, **rest)


MUTANTS = table(
    Mutant("weights-ignored", "weights are accepted and not looked at", ("CV-39", "CV-40"), _ignoring(right.triplet_margin_loss)),
    _mutant("none", "none returns the terms without their weights", ("CV-39",), reduced=lambda s, t, p, w, r: t if r == "none" else Weighed.reduced(s, t, p, w, r)),
    _mutant("squared", "a term is multiplied by its weight twice", ("CV-39",), products=lambda s, t, w: t * w * w),
    _mutant("normalised", "weights are divided by their mean before anything else", ("CV-39",), wide=lambda s, w, t: w.to(t.dtype) * w.numel() / w.to(t.dtype).sum().clamp(min=1e-6)),
    _mutant("gradient-unweighed", "the gradient of a term lacks its weight", ("CV-39", "CV-40"), products=_unweighed_gradient),
    _mutant("half", "weights are rounded to bfloat16", ("CV-39", "CV-40", "CV-45", "CV-15"), wide=lambda s, w, t: w.bfloat16().to(t.dtype)),
    _mutant("mean-by-count", "a mean divides by the number of terms", ("CV-40",), weight=lambda s, c, p, w: c.sum(), ),
    Mutant("weights-mean-by-count-rooted", "a mean divides by the number of terms where eps stands below the root", ("CV-40", "CV-39"), _unless_rooted),
    _mutant("mean-nonzero-of-all", "mean_nonzero divides by the weights of all terms", ("CV-40",), weight=lambda s, c, p, w: torch.where(p, w, 0.0).sum()),
    _mutant("clamped", "a weight below 2^-20 is taken for 2^-20", ("CV-39", "CV-40"), own=lambda s, w: torch.where((w > 0) & (w < 2.0**-20), 2.0**-20, w.detach())),
    _mutant("little-more", "a mean divides by 1e-16 more", ("CV-40",), weight=lambda s, c, p, w: Weighed.weight(s, c, p, w) + 1e-16),
    _mutant("zero-times-nan", "a term of weight 0 that is NaN makes the sum NaN", ("CV-41",), base=Poisoned, products=lambda s, t, w: t * w),
    _mutant("zero-counts", "a weight of 0 is taken for 1", ("CV-41", "CV-40", "CV-39"), own=lambda s, w: torch.where(w == 0, 1.0, w.detach())),
    _mutant("nan-returns", "a NaN of weight 0 returns through the backward pass", ("CV-42",), base=Poisoned),
    _mutant("nothing-is-nan", "a mean whose weights are all 0 is NaN", ("CV-43",), over=lambda s, t, w: t / w),
    _mutant("differentiable", "the weights receive a gradient", ("CV-44",), own=lambda s, w: w),
    _mutant("broadcast", "weights of another shape are broadcast", ("CV-45",), check=lambda s, w, r: s.check_dtype(w, r)),
    _mutant("integers", "integer weights are promoted", ("CV-45",), check_dtype=lambda s, w, r: None),
    _mutant("narrow", "weights that are narrower than the rows are read", ("CV-45",), check_dtype=lambda s, w, r: None if w.is_floating_point() else Weighed.check_dtype(s, w, r)),
    _mutant("same-dtype", "wider weights are truncated to the half format", ("CV-45",), own=lambda s, w: w.detach() if w.dtype != torch.float64 else w.detach().half().double()),
    _mutant("negative", "a negative weight is taken as it is", ("CV-46",), legal=lambda s, w: w),
    _mutant("nan-is-nothing", "what is no weight counts as 0", ("CV-46",), legal=lambda s, w: torch.where((w >= 0) & w.isfinite(), w, 0.0)),
    Mutant("weights-batch-all-by-count", "a mean divides by the number of triplets, whatever their anchors weigh", ("BA-9",), _by_terms(right.batch_all_triplet_loss), loss="batch_all_triplet_loss"),
    Mutant("weights-batch-all-mask", "a row of weight 0 is taken from other anchors", ("BA-9",), _as_mask(right.batch_all_triplet_loss), loss="batch_all_triplet_loss"),
    Mutant("weights-batch-all-bounded", "a mean divides by the number of triplets where max_positives is given", ("PW-8", "BA-9"), _unless_bounded, loss="batch_all_triplet_loss"),
    Mutant("weights-semi-hard-positive", "a pair has the weight of its positive", ("SH-11",), _of_the_positive, loss="semi_hard_triplet_loss"),
    Mutant("weights-semi-hard-mask", "a row of weight 0 is taken from other anchors", ("SH-11",), _as_mask(right.semi_hard_triplet_loss), loss="semi_hard_triplet_loss"),
    Mutant("weights-batch-hard-mask", "a row of weight 0 is taken from other anchors", ("BH-11",), _as_mask(right.batch_hard_triplet_loss), loss="batch_hard_triplet_loss"),
    Mutant("weights-batch-hard-by-count", "a mean divides by the number of anchors", ("BH-11", "CV-40"), _by_terms(right.batch_hard_triplet_loss), loss="batch_hard_triplet_loss"),
    Mutant("weights-circle-mask", "a row of weight 0 is taken from other anchors", ("CI-16",), _as_mask(right.circle_loss), loss="circle_loss"),
    Mutant("weights-circle-by-count", "a mean divides by the number of rows", ("CI-16", "CV-40"), _by_terms(right.circle_loss), loss="circle_loss"),
    Mutant("weights-oim-looks", "the weight of a row without an identity is looked at", ("OI-24",), _looking_at_all, loss="oim_loss"),
    Mutant("weights-joint-first-part", "the weights reach the cross-entropy alone", ("JO-10",), _first_part_alone, loss="joint_loss"),
    Mutant("weights-cross-entropy-by-count", "a mean divides by the number of rows, as Keras' default does", ("CV-40",), _of(Weighed, right.cross_entropy_loss, weight=lambda s, c, p, w: c.sum()), loss="cross_entropy_loss"),
)  # fmt: skip
