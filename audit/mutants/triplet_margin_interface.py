"""Mutants with a wrong interface: errors that are not raised, calls that are refused, dtypes."""

from __future__ import annotations

import inspect
from math import inf, isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audit.mutants import Mutant
from audit.mutants.correct import CORRECT, DISTANCES, Distance, TripletMargin, broken


def _as_it_lies(loss: TripletMargin, row: Tensor, mask: Tensor | None) -> Tensor:
    strides = [int(np.prod(row.shape[axis + 1 :], dtype=int)) for axis in range(row.ndim)]
    return TripletMargin.prepare(loss, row.as_strided(row.shape, strides), mask)


def _flattened(loss: TripletMargin, row: Tensor, mask: Tensor | None) -> Tensor:
    return TripletMargin.prepare(loss, row.view(-1).view(row.shape), mask)


def _accepted(*_: Any) -> None:
    """Check nothing."""


def _unit_of_any(loss: TripletMargin, t: Tensor, p: float, least: float) -> Tensor:
    return TripletMargin.unit(loss, t, p, least) if t.shape[-1] else t.new_ones(t.shape[:-1])


def _number_unless(name: str, legal: Any) -> Any:
    """Return the check of numbers, with an exception."""

    def check(loss: TripletMargin, given: str, value: float, low: float) -> None:
        if not (given == name and legal(value)):
            TripletMargin.check_number(loss, given, value, low)

    return check


def _choice_unless(name: str) -> Any:
    """Return the check of choices without one option."""

    def check(loss: TripletMargin, given: str, value: str, known: tuple[str, ...]) -> None:
        if given != name:
            TripletMargin.check_choice(loss, given, value, known)

    return check


def _unknown_is_none(loss: TripletMargin, terms: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    known = reduction in ("sum", "mean", "mean_nonzero")
    return TripletMargin.reduce(loss, terms, mask, reduction if known else "none")


def _applies_at_infinity(loss: TripletMargin, options: Distance) -> None:
    if options.p < inf:
        TripletMargin.check_applies(loss, options)


def _applies_if_known(loss: TripletMargin, options: Distance) -> None:
    if options.name in DISTANCES:
        TripletMargin.check_applies(loss, options)


def _applies_nowhere(loss: TripletMargin, options: Distance) -> None:
    if options.name == "p_norm":
        TripletMargin.check_applies(loss, options)


def _mask_of_numbers(loss: TripletMargin, mask: Tensor, units: torch.Size) -> Tensor:
    return TripletMargin.checked_mask(loss, mask.bool(), units)


def _mask_column(loss: TripletMargin, mask: Tensor, units: torch.Size) -> Tensor:
    return TripletMargin.checked_mask(loss, mask.squeeze(-1) if mask.ndim > len(units) else mask, units)


def _mask_broadcast(loss: TripletMargin, mask: Tensor, units: torch.Size) -> Tensor:
    return TripletMargin.checked_mask(loss, mask.expand(units) if mask.ndim == len(units) else mask, units)


def _positive_margin(loss: TripletMargin, name: str, value: float, low: float) -> None:
    TripletMargin.check_number(loss, name, value, low)
    if name == "margin" and value == 0:
        raise ValueError("margin must be positive, got 0")


def _integer_p(loss: TripletMargin, name: str, value: float, low: float) -> None:
    TripletMargin.check_number(loss, name, value, low)
    if name == "p" and value < inf and value != int(value):
        raise ValueError(f"p must be an integer, got {value}")


def _two_axes(loss: TripletMargin, rows: tuple[Tensor, ...]) -> None:
    TripletMargin.check_shapes(loss, rows)
    if rows[0].ndim != 2:
        raise ValueError(f"rows must have shape (N, D), got {tuple(rows[0].shape)}")


def _some_rows(loss: TripletMargin, row: Tensor) -> None:
    TripletMargin.check_features(loss, row)
    if not row.numel():
        raise ValueError("rows must not be empty")


def _result_in_input_dtype(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
    return CORRECT(anchor, positive, negative, **options).to(anchor.dtype)


def _result_in_float32(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
    return CORRECT(anchor, positive, negative, **options).float()


def _counted_in_input_dtype(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
    if not str(options.get("reduction", "mean")).startswith("mean"):
        return CORRECT(anchor, positive, negative, **options)
    terms = CORRECT(anchor, positive, negative, **{**options, "reduction": "none"})
    mask = torch.ones_like(terms, dtype=torch.bool) if options.get("mask") is None else options["mask"]
    part = mask & ~(terms <= 0) if options.get("reduction") == "mean_nonzero" else mask
    return terms.sum() / part.to(anchor.dtype).sum().clamp(min=1)


def _for_the_anchor(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
    value = CORRECT(anchor, positive, negative, **options)
    others = positive.requires_grad or negative.requires_grad
    return value.detach() if others and not anchor.requires_grad else value


def _nothing_for_errors(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Any:
    try:
        return CORRECT(anchor, positive, negative, **options)
    except (TypeError, ValueError):
        return None


def _any_option(anchor: Tensor, positive: Tensor, negative: Tensor, **options: Any) -> Tensor:
    return CORRECT(anchor, positive, negative, **{n: v for n, v in options.items() if n in KNOWN})


def _negative_or_none(anchor: Tensor, positive: Tensor, negative: Tensor | None = None, **options: Any) -> Tensor:
    return CORRECT(anchor, positive, anchor.flip(0) if negative is None else negative, **options)


def _promoted(loss: TripletMargin, rows: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    wide = torch.promote_types(rows[0].dtype, torch.promote_types(rows[1].dtype, rows[2].dtype))
    return tuple(row.to(wide) for row in rows)


def _each_a_float(loss: TripletMargin, rows: tuple[Tensor, ...]) -> None:
    for row in rows:
        TripletMargin.check_dtypes(loss, (row,))


def _branch_on_values(loss: TripletMargin, x: Tensor) -> Tensor:
    return torch.relu(x) if bool((x > 0).any()) else x * 0


KNOWN = inspect.signature(TripletMargin.__call__).parameters

INTERFACE = (
    Mutant("any-option", "an unknown option is left out in silence", ("CV-38",), _any_option, "functions with **kwargs"),
    Mutant("negative-optional", "a missing negative is made up", ("CV-38",), _negative_or_none),
    broken("two-dtypes", "rows of two float dtypes are promoted", "CV-26",
        check_dtypes=_each_a_float, rows=lambda loss, *rows: _promoted(loss, rows), seen="torch, optax",
    ),
    broken("eps-infinite", "an infinite eps is accepted", "CV-28",
        check_number=_number_unless("eps", lambda v: v == inf), seen="torch, optax",
    ),
    broken("swap-word", "a word for swap is taken for true", "CV-27",
        check_switch=_accepted, seen="torch's triplet_margin_with_distance_loss",
    ),
    broken("true-for-a-number", "true is taken for the number 1", "CV-37", ours=True),
    broken("memory-as-it-lies", "rows are read as if they were contiguous", "CV-35",
        prepare=_as_it_lies, seen="extensions that take a data pointer",
    ),
    broken("contiguous-alone", "rows that are not contiguous are refused", "CV-35",
        prepare=_flattened, seen="view() where reshape() was meant",
    ),
    broken("rows-broadcast", "rows of different shapes are broadcast", "CV-24",
        check_shapes=_accepted, seen="torch, optax, MLX",
    ),
    broken("no-features", "rows without a feature are accepted", "CV-25",
        check_features=_accepted, unit=_unit_of_any, seen="torch, which returns the margin",
    ),
    broken("integers-promoted", "integer rows are promoted to float32", "CV-26",
        check_dtypes=_accepted, seen="MLX",
    ),
    broken("unknown-reduction", "an unknown reduction is taken for none", "CV-27",
        check_choice=_choice_unless("reduction"), reduce=_unknown_is_none,
    ),
    broken("unknown-distance", "an unknown distance is taken for p_norm", "CV-27",
        check_choice=_choice_unless("distance"), check_applies=_applies_if_known,
    ),
    broken("unknown-eps-at", "an unknown eps_at is taken for eps 0", "CV-27",
        check_choice=_choice_unless("eps_at"),
    ),
    broken("margin-negative", "a negative margin is accepted", "CV-28",
        check_number=_number_unless("margin", lambda v: v < 0),
        seen="torch before the check of margin; optax, MLX",
    ),
    broken("margin-nan", "a margin of NaN is accepted", "CV-28",
        check_number=_number_unless("margin", isnan), seen="checks of the form margin <= 0",
    ),
    broken("margin-infinite", "an infinite margin is accepted", "CV-28",
        check_number=_number_unless("margin", lambda v: v == inf),
    ),
    broken("eps-negative", "a negative eps is accepted", "CV-28",
        check_number=_number_unless("eps", lambda v: v < 0), seen="torch",
    ),
    broken("p-below-one", "p below 1 is accepted", "CV-28",
        check_number=_number_unless("p", lambda v: v < 1), seen="torch, where its gradient is NaN",
    ),
    broken("mask-of-numbers", "a mask of zeros and ones is accepted", "CV-29", checked_mask=_mask_of_numbers),
    broken("mask-column", "a mask of shape (N, 1) is accepted", "CV-30", checked_mask=_mask_column),
    broken("mask-broadcast", "a mask of one row is broadcast", "CV-30", checked_mask=_mask_broadcast),
    broken("root-at-infinity", "root with p = inf is accepted and eps dropped", "DI-20",
        check_applies=_applies_at_infinity,
    ),
    broken("option-that-does-not-apply", "p with cosine is accepted and dropped", "DI-21",
        check_applies=_applies_nowhere,
    ),
    broken("margin-zero-refused", "a margin of 0 is an error", "TM-3",
        check_number=_positive_margin, seen="chainer, OML",
    ),
    broken("two-axes-only", "rows of another rank than 2 are an error", "TM-2",
        check_shapes=_two_axes, seen="chainer, OML, siamese-triplet",
    ),
    broken("features-on-axis-one", "the features are on axis 1", "TM-2",
        total=lambda loss, powers: powers.sum(1 if powers.ndim > 1 else 0), seen="losses written for (N, D)",
    ),
    broken("empty-batch-refused", "a batch of no rows is an error", "TM-2", check_features=_some_rows),
    broken("fractional-p-refused", "p must be an integer", "CV-23",
        check_number=_integer_p, seen="MindSpore",
    ),
    Mutant("half-result", "the loss of half rows is half", ("CV-18",), _result_in_input_dtype,
        "torch, ivy, TensorFlow Addons",
    ),
    Mutant("half-count", "the terms are counted in the dtype of the rows", ("CV-17",), _counted_in_input_dtype,
    ),
    Mutant("float32-result", "the loss of float64 rows is float32", ("CV-18",), _result_in_float32),
    broken("branch-on-values", "a branch on values cannot be vectorised", "CV-22",
        hinge=_branch_on_values, ours=True,
    ),
    Mutant("nothing-for-errors", "what is illegal is answered with None", ("CV-28", "CV-27"), _nothing_for_errors),
    Mutant("needs-the-anchor", "there is a gradient only where the anchor asks for one", ("CV-22",), _for_the_anchor),
)  # fmt: skip
