"""Broken circle losses, each the correct one with a method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.correct import REDUCTIONS, TripletMargin, with_default


class Circle(TripletMargin):
    """The loss; arguments and reductions are those of the correct triplet margin loss."""

    valid: Tensor  # of the last call: anchors that `mean_nonzero` counts
    own: Tensor  # for mutants

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        margin: float = 0.25,
        gamma: float = 256.0,
        detach_weights: bool = True,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of a batch (B, D)."""
        self.check_margin(margin)
        self.check_number("gamma", gamma, 0.0)
        if not isinstance(detach_weights, bool):
            raise TypeError(f"detach_weights must be True or False, got {detach_weights!r}")
        self.check_choice("reduction", reduction, REDUCTIONS)
        self.check_dtypes((embeddings,))
        embeddings = self.checked_batch(embeddings)
        labels = self.checked_labels(labels, len(embeddings))
        if mask is not None:
            mask = self.checked_mask(mask, embeddings.shape[:1])
        s = self.similarities(self.prepare(embeddings, mask))
        same = self.alike(labels)
        positive, negative = self.pairs(same, torch.ones_like(labels, dtype=torch.bool) if mask is None else mask)
        a, delta = self.weights(s, same, margin), self.centres(s, same, margin)
        z = torch.where(same, -1.0, 1.0).to(s.dtype) * gamma * (self.held(a) if detach_weights else a) * (s - delta)
        some, more = positive.any(1), negative.any(1)
        terms = self.terms(self.log_sum(z, positive), self.log_sum(z, negative), some & more)
        spoilt = self.spoilt(s)
        terms = terms.masked_fill(spoilt, torch.nan)
        self.valid = (some & more) | spoilt
        return self.reduce(terms, mask, reduction)

    def check_margin(self, margin: float) -> None:
        """CV-28."""
        if not -1 <= margin <= 1:
            raise ValueError(f"margin must be in [-1, 1], got {margin}")

    def checked_batch(self, embeddings: Tensor) -> Tensor:
        """CV-25, CV-34."""
        if embeddings.ndim != 2 or embeddings.shape[1] == 0:
            raise ValueError(f"embeddings must have shape (B, D), got {tuple(embeddings.shape)}")
        return embeddings

    def checked_labels(self, labels: Tensor, rows: int) -> Tensor:
        """CV-31."""
        if labels.is_floating_point() or labels.dtype == torch.bool or labels.shape != (rows,):
            raise ValueError(f"labels must be integers ({rows},), got {labels.dtype} {tuple(labels.shape)}")
        return labels

    def alike(self, labels: Tensor) -> Tensor:
        """CV-32."""
        return labels[:, None] == labels

    def similarities(self, rows: Tensor) -> Tensor:
        """CI-3, CI-12."""
        norm = rows.detach().abs().amax(1, keepdim=True)
        zero = norm == 0
        rows = rows / norm.masked_fill(zero, 1.0)
        unit = rows / (rows * rows).sum(1, keepdim=True).masked_fill(zero, 1.0).sqrt()
        unit = unit.masked_fill(zero, 0.0).double()
        return (unit @ unit.T).to(rows.dtype)

    def pairs(self, same: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """CI-2."""
        both = mask & mask[:, None]
        return both & same & ~torch.eye(len(same), dtype=torch.bool), both & ~same

    def weights(self, s: Tensor, same: Tensor, margin: float) -> Tensor:
        """CI-4."""
        return torch.relu(torch.where(same, 1 + margin - s, s + margin))

    def centres(self, s: Tensor, same: Tensor, margin: float) -> Tensor:
        """Return 1 - m for positives and m for negatives."""
        return torch.where(same, torch.full_like(s, 1 - margin), torch.full_like(s, margin))

    def held(self, a: Tensor) -> Tensor:
        """CI-10."""
        return a.detach()

    def log_sum(self, z: Tensor, chosen: Tensor) -> Tensor:
        """CI-7."""
        pivot = z.detach().masked_fill(~chosen, -torch.inf)
        pivot = (pivot.amax(1) if len(z) else pivot.sum(1)).masked_fill(~chosen.any(1), 0.0)
        total = (z - pivot[:, None]).masked_fill(~chosen, -torch.inf).exp().sum(1)
        return pivot + total.masked_fill(~chosen.any(1), 1.0).log()

    def terms(self, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
        """CI-5, CI-6, CI-13."""
        return torch.where(both, torch.logaddexp(p + n, torch.zeros_like(p)), 0.0)

    def spoilt(self, s: Tensor) -> Tensor:
        """CI-9."""
        return s.detach().isnan().any(1)

    def count(self, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
        """CI-8."""
        counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
        return (counted & self.valid if reduction == "mean_nonzero" else counted).sum().clamp(min=1)


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(Circle, method)]
    if unknown:
        raise ValueError(f"{name}: Circle has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (Circle,), methods)(), seen, ours, "circle_loss")


def _defaults(name: str, bug: str, **defaults: Any) -> Mutant:
    return _mutant(name, bug, "CI-14", __call__=with_default(Circle, **defaults))


def _with_self(loss: Circle, same: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    both = mask & mask[:, None]
    return both & same, both & ~same


def _upper_triangle(loss: Circle, same: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(pair.triu() for pair in Circle.pairs(loss, same, mask))  # type: ignore[return-value]


def _no_weights(loss: Circle, s: Tensor, same: Tensor, margin: float) -> Tensor:
    return torch.ones_like(s)


def _unclipped(loss: Circle, s: Tensor, same: Tensor, margin: float) -> Tensor:
    return torch.where(same, 1 + margin - s, s + margin)


def _clipped_upwards(loss: Circle, s: Tensor, same: Tensor, margin: float) -> Tensor:
    room = _unclipped(loss, s, same, margin)
    return torch.where(room >= 0, room, 0.0)


def _margins_swapped(loss: Circle, s: Tensor, same: Tensor, margin: float) -> Tensor:
    return torch.where(same, torch.full_like(s, margin), torch.full_like(s, 1 - margin))


def _no_pivot(loss: Circle, z: Tensor, chosen: Tensor) -> Tensor:
    return z.masked_fill(~chosen, -torch.inf).exp().sum(1).masked_fill(~chosen.any(1), 1.0).log()


def _common_pivot(loss: Circle, z: Tensor, chosen: Tensor) -> Tensor:
    """Subtract the largest exponent of the row, whatever set it is in: the other set may vanish."""
    pivot = z.detach().amax(1, keepdim=True) if len(z) else z.detach()
    total = (z - pivot).masked_fill(~chosen, -torch.inf).exp().sum(1)
    return (pivot[:, 0] if len(z) else total) + total.masked_fill(~chosen.any(1), 1.0).log()


def _largest_only(loss: Circle, z: Tensor, chosen: Tensor) -> Tensor:
    return z.masked_fill(~chosen, -torch.inf).max(1).values.masked_fill(~chosen.any(1), 0.0) if len(z) else z.sum(1)


def _mean_of_powers(loss: Circle, z: Tensor, chosen: Tensor) -> Tensor:
    return Circle.log_sum(loss, z, chosen) - chosen.sum(1).clamp(min=1).log()


def _whole_batch(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    t = (p + n).masked_fill(~both, -torch.inf)
    whole = torch.logaddexp(t.logsumexp(0), t.new_zeros(())) if bool(both.any()) else p.sum() * 0
    return torch.where(both, whole / both.sum().clamp(min=1), 0.0)


def _two_logarithms(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    zero = torch.zeros_like(p)
    return torch.where(both, torch.logaddexp(p, zero) + torch.logaddexp(n, zero), 0.0)


def _empty_as_one(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    return torch.logaddexp(p + n, torch.zeros_like(p))


def _empty_has_gradient(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    t = torch.logaddexp(p + n, torch.zeros_like(p))
    return torch.where(both, t, t - t.detach())


def _without_one(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    return torch.where(both, p + n, 0.0)


def _added(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    return torch.where(both, torch.logaddexp(torch.logaddexp(p, n), torch.zeros_like(p)), 0.0)


def _from_the_anchor(loss: Circle, rows: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1)
    return unit @ unit.detach().T


def _clamped(loss: Circle, rows: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1, eps=1e-3)
    return unit @ unit.T


def _tiny(loss: Circle, rows: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1, eps=1e-8)
    return unit @ unit.T


def _zero_row_nan(loss: Circle, rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return torch.mm(unit, unit.T)


def _zero_row_gradient(loss: Circle, rows: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1, eps=1e-6)
    return unit @ unit.T


def _nan_to_zero(loss: Circle, rows: Tensor) -> Tensor:
    loss.own = rows.detach().isnan().any(1)
    return Circle.similarities(loss, rows.nan_to_num(nan=0.0))


def _of_its_own_row(loss: Circle, s: Tensor) -> Tensor:
    return loss.own


def _dropped_rows(loss: Circle, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return Circle.count(loss, terms, mask, "mean_nonzero")


def _by_rounded_terms(loss: Circle, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.count(loss, terms, mask, reduction)


MUTANTS: dict[str, Mutant] = table(
    _mutant("ci-self-is-positive", "an anchor counts as its own positive", "CI-2", "CI-6", seen="eye left in the mask of positives", pairs=_with_self),
    _mutant("ci-one-end", "each pair is met from one end only", "CI-2", seen="TinyZeaMays takes the upper triangle", pairs=_upper_triangle),
    _mutant("ci-one-logarithm-a-batch", "one logarithm for all anchors", "CI-1", "CI-2", seen="TinyZeaMays CircleLoss", terms=_whole_batch),
    _mutant("ci-two-logarithms", "log(1 + S_p) + log(1 + S_n) in place of log(1 + S_p S_n)", "CI-5", seen="TensorFlow Similarity", terms=_two_logarithms),
    _mutant("ci-sums-added", "log(1 + S_p + S_n): the sums are added", "CI-5", "CI-1", terms=_added),
    _mutant("ci-no-one", "the 1 in the logarithm is left out", "CI-5", "CI-1", terms=_without_one),
    _mutant("ci-no-weights", "all weights are 1", "CI-1", "CI-4", seen="the unweighted form, eq. 3 of the paper", weights=_no_weights),
    _mutant("ci-weights-not-clipped", "weights may be negative", "CI-4", seen="ports without the [.]+ of eq. 5", weights=_unclipped),
    _mutant("ci-margins-exchanged", "Delta_p = m and Delta_n = 1 - m", "CI-1", centres=_margins_swapped),
    _mutant("ci-optimum-without-margin", "the optima are 1 and 0", "CI-1", "CI-4", weights=lambda s, c, same, m: Circle.weights(s, c, same, 0.0)),
    _mutant("ci-mean-of-exponentials", "the sums are means", "CI-1", "CI-2", log_sum=_mean_of_powers),
    _mutant("ci-hardest-pair", "only the largest exponent of each set counts", "CI-1", "CI-2", log_sum=_largest_only),
    _mutant("ci-no-pivot", "nothing is subtracted before the exponential", "CI-7", "CI-14", seen="the source's formula typed as it stands", log_sum=_no_pivot),
    _mutant("ci-common-pivot", "both sets share one pivot, so that one of them underflows", "CI-7", log_sum=_common_pivot),
    _mutant("ci-empty-set-is-one", "an empty set has the sum 1", "CI-6", seen="logsumexp of masked zeros", terms=_empty_as_one),
    _mutant("ci-empty-set-has-gradient", "an anchor without a negative pulls its positives", "CI-13", terms=_empty_has_gradient),
    _mutant("ci-mean-of-valid", "mean divides by the anchors with a positive and a negative", "CI-8", "CV-3", seen="pytorch-metric-learning, by default", count=_dropped_rows),
    _mutant("ci-nonzero-after-rounding", "mean_nonzero counts the terms that are not rounded to 0", "CI-8", seen="pytorch-metric-learning, Keras", count=_by_rounded_terms),
    _mutant("ci-weights-with-gradient", "the weights are differentiated though they are constants", "CI-10", seen="Keras, TensorFlow Similarity", held=lambda s, a: a),
    _mutant("ci-weights-always-constant", "the weights are constants though they are not to be", "CI-11", weights=lambda s, c, same, m: Circle.weights(s, c.detach(), same, m)),
    _mutant("ci-weights-of-many", "the weights of more than 64 rows are constants", "CI-11", weights=lambda s, c, same, m: Circle.weights(s, c.detach() if len(c) > 64 else c, same, m)),
    _mutant("ci-clip-at-0", "a weight that is clipped exactly at 0 has a derivative", "CI-11", ours=True, weights=lambda s, c, same, m: Circle.weights(s, c, same, m) + (lambda room: torch.where(room.detach() == 0, room, 0.0))(_unclipped(s, c, same, m))),
    _mutant("ci-clip-passes-gradient", "a clipped weight passes its gradient", "CI-11", weights=lambda s, c, same, m: Circle.weights(s, c, same, m).detach() + (lambda room: room - room.detach())(_unclipped(s, c, same, m))),
    _mutant("ci-one-row-of-a-pair", "the gradient reaches the anchor of a pair alone", "CI-12", "CI-10", similarities=_from_the_anchor),
    _mutant("ci-inner-product", "rows are not normalised", "CI-3", seen="Keras and TinyZeaMays leave it to the caller", similarities=lambda s, rows: rows @ rows.T),
    _mutant("ci-short-rows", "rows shorter than 0.001 are not made unit rows", "CI-3", seen="an eps in the normalisation", similarities=_clamped),
    _mutant("ci-tiny-rows", "rows shorter than 1e-8 are not made unit rows", "CI-3", seen="an eps in the normalisation", similarities=_tiny),
    _mutant("ci-zero-row-nan", "a zero row is divided by its length", "CI-3", "CI-12", similarities=_zero_row_nan),
    _mutant("ci-zero-row-pushed", "a zero row receives a gradient", "CI-12", ours=True, seen="torch.nn.functional.normalize", similarities=_zero_row_gradient),
    _mutant("ci-cosine-cut", "cosines are cut off at 0.9", "CI-1", "CI-3", seen="clipping against rounding, too wide", similarities=lambda s, rows: Circle.similarities(s, rows).clamp(-0.9, 0.9)),
    _mutant("ci-half-product", "the product of the rows is taken in float32", "CV-15", "CV-16", "CI-1", "CI-10", similarities=lambda s, rows: Circle.similarities(s, rows.float()).to(rows.dtype)),
    _mutant("ci-nan-in-an-empty-set", "NaN is lost where a set is empty", "CI-9", spoilt=lambda s, c: torch.zeros_like(c[:, :1].sum(1), dtype=torch.bool)),
    _mutant("ci-nan-of-its-own-row", "NaN spoils the term of its own row alone", "CV-10", "CI-9", similarities=_nan_to_zero, spoilt=_of_its_own_row),
    _mutant("ci-float-labels", "labels are compared as float32", "CV-32", seen="Keras casts labels", alike=lambda s, labels: labels.float()[:, None] == labels.float()),
    _mutant("ci-labels-taken-as-they-are", "labels of any shape and type are taken", "CV-31", checked_labels=lambda s, labels, rows: labels.reshape(-1)[:rows].long() if labels.numel() >= rows else labels.reshape(-1)[:1].expand(rows)),
    _mutant("ci-any-number-of-axes", "embeddings of one or three axes are taken for a batch", "CV-34", checked_batch=lambda s, x: x.reshape(len(x), -1)),
    _mutant("ci-any-margin", "a margin of 2 or NaN is taken", "CV-28", check_margin=lambda s, margin: None),
    _mutant("ci-masked-rows-counted", "the mean counts rows that are masked out", "CV-3", "CV-7", count=lambda s, t, m, r: Circle.count(s, t, None, r)),
    _mutant("ci-masked-rows-are-candidates", "a masked row is still a positive or a negative", "CV-7", "CV-8", "CV-9", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), pairs=lambda s, same, mask: Circle.pairs(s, same, torch.ones_like(mask))),
    _mutant("ci-reversed", "terms come in reversed order", "CI-15", terms=lambda s, p, n, both: Circle.terms(s, p, n, both).flip(0)),
    _defaults("ci-default-margin", "margin is 0.4 where it is not given", margin=0.4),
    _defaults("ci-default-gamma", "gamma is 80 where it is not given", gamma=80.0),
)  # fmt: skip

CORRECT = Circle()
__all__ = ["CORRECT", "MUTANTS"]
