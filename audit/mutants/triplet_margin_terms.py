"""Mutants that are wrong in terms, reductions, masks, NaN and the purity of the call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant
from audit.mutants.correct import CORRECT, Distance, TripletMargin, broken, with_default

_ROWS = ("anchor", "positive", "negative")


def _unit_of_the_batch(loss: TripletMargin, t: Tensor, p: float, least: float) -> Tensor:
    unit = TripletMargin.unit(loss, t, p, least)
    return unit if p in (1, 2) or not t.numel() else unit.amax().expand(unit.shape)


def _reversed_pair(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    near, far = loss.distance(a, p, options), loss.distance(a, n, options)
    return margin + near - (torch.minimum(loss.distance(n, p, options), far) if swap else far)


def _positive_first(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    near, far = loss.distance(p, a, options), loss.distance(a, n, options)
    return loss.gap(margin, near, loss.swapped(near, far, loss.distance(p, n, options)) if swap else far)


def _batch_mean_removed(
    loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor, margin: float, options: Distance, swap: bool
) -> Tensor:
    if options.name == "cosine" and a.ndim == 2 and len(a):
        a, p, n = (row - (a.mean(0) + p.mean(0) + n.mean(0)) / 3 for row in (a, p, n))
    return TripletMargin.excess(loss, a, p, n, margin, options, swap)


def _mean_for_none(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.reduce(loss, terms, mask, "mean" if reduction == "none" else reduction)


def _sum_for_mean(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.reduce(loss, terms, mask, "sum" if reduction == "mean" else reduction)


def _with_an_axis(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    found = TripletMargin.reduce(loss, terms, mask, reduction)
    return found[..., None] if reduction == "none" else found


def _count_all_in_mean(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.count(loss, terms, None if reduction == "mean" else mask, reduction)


def _mean_for_sum(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.reduce(loss, terms, mask, "mean" if reduction == "sum" else reduction)


def _masked_rows_dropped(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    kept = terms if mask is None else terms[mask]
    return TripletMargin.reduce(loss, kept, None, reduction)


def _unless_nothing(loss: TripletMargin, row: Tensor, mask: Tensor | None) -> Tensor:
    return TripletMargin.prepare(loss, row, mask if mask is None or mask.any() else None)


def _sloped(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    if mask is None or mask.any() or reduction == "none":
        return TripletMargin.reduce(loss, terms, mask, reduction)
    every = TripletMargin.reduce(loss, terms, None, reduction)
    return every - every.detach()


def _count_unguarded(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    counted = torch.ones_like(terms, dtype=torch.bool) if mask is None else mask
    return (counted & ~(terms <= 0) if reduction == "mean_nonzero" else counted).sum()


def _nan_not_counted(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.count(loss, terms.detach().nan_to_num(nan=0.0), mask, reduction)


def _nan_mean(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    return TripletMargin.reduce(loss, terms if reduction == "none" else terms.nan_to_num(nan=0.0), mask, reduction)


def only_arithmetic(loss: TripletMargin, row: Tensor, mask: Tensor | None) -> Tensor:
    """Return rows in the dtype of the arithmetic, masked ones too."""
    return row.to(loss.arithmetic(row.dtype))


def zeroed_in_place(loss: TripletMargin, row: Tensor, mask: Tensor | None) -> Tensor:
    """Return the same rows, and zero the caller's."""
    if mask is not None:
        row.data.masked_fill_(~mask.unsqueeze(-1), 0.0)
    return TripletMargin.prepare(loss, row, mask)


def _cleaned_in_place(loss: TripletMargin, row: Tensor, mask: Tensor | None) -> Tensor:
    before = TripletMargin.prepare(loss, row, mask).clone()
    row.data.clamp_(-1.0, 1.0)
    return before


def _noise(loss: TripletMargin, a: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    noise = torch.rand(a.shape, dtype=a.dtype)
    return a, p + 0 * noise, n


class _WarmUp:
    """Counts its calls, and grows the margin with them."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, margin: float, near: Tensor, far: Tensor) -> Tensor:
        self.calls += 1
        return margin * (1 + 0.01 * min(self.calls, 1000)) + near - far


class _Cache:
    """Remembers the last loss by the shapes and options of the call."""

    def __init__(self) -> None:
        self.known: tuple[Any, Tensor] | None = None

    def __call__(self, **given: Any) -> Tensor:
        key = tuple((n, v.shape if isinstance(v, Tensor) else v) for n, v in given.items())
        if self.known is None or self.known[0] != key or any(given[n].requires_grad for n in _ROWS):
            self.known = key, CORRECT(**given)
        return self.known[1]


class _CacheOfObjects:
    """Remembers the last loss of the very same tensors, whatever they hold by now."""

    def __init__(self) -> None:
        self.known: tuple[Any, dict[str, Any], Tensor] | None = None

    def __call__(self, **given: Any) -> Tensor:
        key = tuple((n, id(v) if isinstance(v, Tensor) else v) for n, v in given.items())
        if self.known is None or self.known[0] != key or any(given[n].requires_grad for n in _ROWS):
            self.known = key, given, CORRECT(**given)
        return self.known[2]


class _Buffer:
    """Writes each loss into the memory of the last one of its shape."""

    def __init__(self) -> None:
        self.kept: dict[Any, Tensor] = {}

    def __call__(self, **given: Any) -> Tensor:
        value: Tensor = CORRECT(**given)
        if torch.is_grad_enabled() and not torch._C._functorch.maybe_current_level():  # where a tensor has memory
            key = value.shape, value.dtype
            value.data = self.kept.setdefault(key, value.detach().clone()).copy_(value.detach())
        return value


TERMS = (
    broken("margin-sign", "the margin is subtracted", "TM-1",
        gap=lambda loss, margin, near, far: near - far - margin,
    ),
    broken("margin-ignored", "the margin is 1 whatever was asked", "TM-1",
        gap=lambda loss, m, near, far: 1 + near - far,
    ),
    broken("distances-exchanged", "positive and negative change places", "TM-1",
        gap=lambda loss, m, near, far: m + far - near,
    ),
    broken("no-hinge", "terms may be negative", "TM-1", hinge=lambda loss, x: x),
    broken("soft-hinge", "log(1 + exp x) in place of the hinge", "TM-1",
        hinge=lambda loss, x: torch.logaddexp(x, 0 * x),
        seen="the soft margin of reid-strong-baseline and OML, where the margin is None",
    ),
    broken("rows-normalised", "rows are divided by their lengths first", "TM-1",
        rows=lambda loss, *rows: tuple(torch.nn.functional.normalize(row, dim=-1) for row in rows),
        seen="pytorch-metric-learning, by default",
    ),
    broken("absolute-gap", "the absolute value in place of the hinge", "TM-1", hinge=lambda loss, x: x.abs()),
    broken("at-the-margin-counted", "a triplet exactly at the margin counts as positive", "TM-10",
        hinge=lambda loss, x: torch.where(x == 0, 1e-30, torch.relu(x)),
    ),
    broken("swap-ignored", "swap does nothing", "TM-5", swapped=lambda loss, near, far, between: far),
    broken("swap-by-maximum", "swap takes the larger distance", "TM-5",
        swapped=lambda loss, near, far, between: torch.maximum(far, between),
    ),
    broken("swap-always", "swap takes d(p, n) though it is larger", "TM-5",
        swapped=lambda loss, near, far, between: between,
    ),
    broken("swap-on-the-positive", "swap takes the smaller of d(a, p) and d(a, n)", "TM-5",
        swapped=lambda loss, near, far, between: torch.minimum(near, far),
    ),
    broken("swap-pair-reversed", "swap takes d(n, p), where eps has the other sign", "TM-4",
        excess=_reversed_pair,
    ),
    broken("positive-pair-reversed",
        "d(p, a) in place of d(a, p), where eps has the other sign", "TM-4", "DI-4",
        excess=_positive_first,
    ),
    broken("terms-reversed", "terms come back in reversed order", "TM-8",
        hinge=lambda loss, x: torch.relu(x.flip(-1) if x.ndim else x),
    ),
    broken("batch-mean-removed",
        "the mean of the batch is taken from the rows before the cosine", "TM-8", "DI-8",
        excess=_batch_mean_removed,
    ),
    broken("hardest-negative-of-the-batch",
        "every row is given the nearest negative distance of the batch", "TM-8", "TM-1",
        gap=lambda loss, margin, near, far: margin + near - (far.amin() if far.numel() else far),
        seen="what mined losses do, on purpose",
    ),
    broken("eps-default", "eps is 0.001 where none is given", "TM-9", __call__=with_default(TripletMargin, eps=1e-3)),
    broken("margin-default", "the margin is 0.2 where none is given", "TM-9",
        __call__=with_default(TripletMargin, margin=0.2),
        seen="FaceNet code; pytorch-metric-learning has 0.05, sentence-transformers 5",
    ),
    broken("reduction-default", "the sum is returned where no reduction is given", "TM-9",
        __call__=with_default(TripletMargin, reduction="sum"),
    ),
    broken("mean-for-none", "none returns the mean", "CV-1", reduce=_mean_for_none),
    broken("none-drops-masked-rows", "none returns only the terms that take part", "CV-1",
        reduce=_masked_rows_dropped,
    ),
    broken("none-with-an-axis", "none keeps an axis of length 1", "CV-1",
        reduce=_with_an_axis, seen="TensorFlow Similarity returns (N, 1)",
    ),
    broken("mean-for-sum", "sum returns the mean", "CV-2", reduce=_mean_for_sum),
    broken("sum-for-mean", "mean returns the sum", "CV-3", reduce=_sum_for_mean),
    broken("mean-of-all-nonzero", "mean_nonzero divides by all rows that take part", "CV-4",
        count=lambda loss, terms, mask, reduction: TripletMargin.count(loss, terms, mask, "mean"),
    ),
    broken("mean-counts-masked-rows", "the denominator of the mean counts masked rows", "CV-3", "CV-7",
        count=_count_all_in_mean,
    ),
    broken("mean-over-nothing", "a mean over nothing is 0/0", "CV-5", "CV-6",
        count=_count_unguarded,
        seen="torch and Paddle on an empty batch; TensorFlow Addons semi-hard with no positive pair",
    ),
    broken("mean-over-nothing-slopes", "a mean over nothing is 0 with the gradient of all rows", "CV-6",
        prepare=_unless_nothing, reduce=_sloped,
    ),
    broken("mask-ignored", "masked rows take part in sums and in denominators", "CV-7",
        prepare=only_arithmetic, masked=lambda loss, terms, mask: terms,
        count=lambda loss, terms, mask, reduction: TripletMargin.count(loss, terms, None, reduction),
    ),
    broken("mask-by-multiplication", "terms are multiplied by the mask, so NaN survives", "CV-8",
        prepare=only_arithmetic, masked=lambda loss, terms, mask: terms * mask,
        seen="TensorFlow Addons, omoindrot, sentence-transformers, fast-reid",
    ),
    broken("mask-at-the-end", "terms alone are masked, so 0 times NaN returns in the gradient", "CV-9",
        prepare=only_arithmetic,
    ),
    broken("nan-swallowed-by-hinge", "the hinge asks x > 0, which NaN is not", "CV-10",
        hinge=lambda loss, x: torch.where(x > 0, x, 0.0), seen="loss[loss < 0] = 0 and its kin",
    ),
    broken("nan-swallowed-by-maximum", "with p = inf the largest size ignores NaN", "CV-10",
        largest=lambda loss, t: TripletMargin.largest(loss, t.masked_fill(t.isnan(), 0.0)),
    ),
    broken("nan-terms-skipped", "sum and means skip terms that are NaN", "CV-10",
        reduce=_nan_mean, seen="pytorch-metric-learning averages losses > 0",
    ),
    broken("nan-not-counted",
        "mean_nonzero does not count terms that are NaN, so other gradients grow", "CV-11",
        count=_nan_not_counted, seen="pytorch-metric-learning selects losses > 0",
    ),
    broken("scale-of-the-batch", "powers are scaled by the largest difference of the batch", "CV-12",
        unit=_unit_of_the_batch,
    ),
    broken("random-numbers-drawn", "noise is drawn, and has no effect on the result", "CV-21", rows=_noise),
    broken("clamped-in-place", "the rows of the caller are clamped after they were read", "CV-21",
        prepare=_cleaned_in_place,
    ),
    broken("masked-in-place", "masked rows of the caller are overwritten with zeros", "CV-21",
        prepare=zeroed_in_place,
    ),
    broken("margin-warm-up", "the margin grows with the number of calls", "CV-21",
        gap=_WarmUp(),
    ),
    Mutant("cache-by-shape", "a second call with the same shapes and options returns the first one's loss",
        ("CV-21", "TM-1"), _Cache(),
    ),
    Mutant("cache-by-object", "a second call with the same tensors returns the first one's loss, though their numbers have changed",
        ("CV-21",), _CacheOfObjects(), "functools.cache over arguments that are hashed by their identity",
    ),
    Mutant("buffer-by-shape", "the loss is written into the memory of the last one of its shape", ("CV-21",), _Buffer(),
    ),
)  # fmt: skip
