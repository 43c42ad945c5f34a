"""What a case must return, and how far from it an answer may be: the budgets of CV-15 to CV-17 and CV-14.

float64 is judged in extended precision, because a float64 reference errs as much as the candidate: numpy's longdouble
where it is wider than float64, mpmath elsewhere and for the reference itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import lossproof.reference as reference
from lossproof.conformance.host.arrays import FORMATS, Array, arithmetic
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge import exact
from lossproof.reference import judged
from lossproof.spec import functions, losses

WEIGHED = 4.0  # what weights add to every kappa (CV-15), and class weights
NEAR = 4.0  # a decision is undecided within this many budgets
_WIDE = np.finfo(np.longdouble).nmant >= 63


@dataclass(frozen=True)
class Expected:
    """The right value and derivatives of a case, with the budget of each entry for a perfect output format."""

    value: Array
    gradients: Mapping[str, Array]
    second: Mapping[str, Array]
    budgets: Callable[[str], tuple[Array, Mapping[str, Array]]]  # of a grade: of the value, and by input
    second_budget: Mapping[str, Array]

    def value_budget(self, grade: str) -> Array:
        """Return the budget of the value for distances of a grade."""
        return self.budgets(grade)[0]

    def gradient_budget(self, grade: str) -> Mapping[str, Array]:
        """Return the budget of the gradient for distances of a grade, by input."""
        return self.budgets(grade)[1]


class Oracle:
    """Answers for one implementation: `ours` has the allowance of this project's backends, sqrt(D)."""

    def __init__(self, *, ours: bool, exact_only: bool = False):
        self.ours = ours
        self.exact_only = exact_only
        self._last: tuple[Case, judged.Evaluation] | None = None  # of a case: asked for decisions, then for the answer

    def allowance(self, case: Case, terms: int | None = None) -> float:
        """Return r, the allowance for the order of summation (CV-15), of `terms` where they are fewer than B or B^2."""
        width, most = _longest_sum(case)
        return float(np.sqrt(width)) if self.ours else float(width + (most if terms is None else terms))

    def evaluate(self, case: Case, overrides: Mapping[Any, Any] | None = None) -> judged.Evaluation:
        """Return the reference's evaluation, wider than the case's own dtype; that of the last case is kept."""
        if overrides is None and self._last and _alike(self._last[0], case):
            return self._last[1]
        wide = np.longdouble if case.widest == "float64" and _WIDE else np.float64
        inputs = {name: a.astype(wide) if a.dtype.kind == "f" else a for name, a in case.inputs.items()}
        found = judged.evaluate(getattr(reference, case.loss), overrides, **inputs, **case.parameters)
        if overrides is None:
            self._last = (case, found)
        return found

    def results(self, case: Case) -> list[Array]:
        """Return what the reference answers to a call of a function that is no loss."""
        found = getattr(reference, case.loss)(**case.inputs, **case.parameters)
        return list(found) if isinstance(found, tuple) else [found]

    def gradients(self, case: Case) -> Mapping[str, Array]:
        """Return the reference's gradients of the sum of what a function that is no loss answers."""
        (value,) = self.results(case)
        gradients: Mapping[str, Array] = getattr(reference, case.loss)(
            **case.inputs, **case.parameters, cotangent=np.ones(value.shape)
        )[1]
        return gradients

    def undecided(self, case: Case, evaluation: judged.Evaluation | None = None) -> list[tuple[Any, tuple[Any, ...]]]:
        """Return the decisions that no implementation at this precision can be held to."""
        return list((evaluation or self.evaluate(case)).decisions.undecided(self._near(case)))

    def undecided_share(self, case: Case) -> tuple[float, float]:
        """Return how far the fraction that a function counts may fall, and rise, by decisions that rounding makes."""
        loss = functions()[case.loss].get("decisions")
        if loss is None:
            return 0.0, 0.0
        found: tuple[float, float] = getattr(judged, losses()[loss].name).undecided_share(
            self._near(replace(case, loss=loss)), **case.inputs, **case.parameters
        )
        return found

    def _near(self, case: Case) -> float:
        """Return how many error scales away from its turn a decision is undecided."""
        kappa, width = losses()[case.loss].front["accuracy"]["kappa"], _longest_sum(case)[0]
        summed = float(np.sqrt(width)) if self.ours else float(width)  # a decision comes before the terms are added
        return float(NEAR * (kappa + summed) * arithmetic(case.widest).roundoff)

    @np.errstate(over="ignore")  # the budget of a number near the largest is infinite, and nobody need hear of it
    def expected(self, case: Case, evaluation: judged.Evaluation | None = None) -> Expected:
        """Return what the case must return."""
        found = evaluation or self.evaluate(case)
        needs_exact = self.exact_only or (case.widest == "float64" and not _WIDE)
        cotangent = np.ones(found.value.shape) if case.cotangent is None else case.cotangent
        if cotangent.shape != found.value.shape:
            cotangent = np.resize(cotangent, found.value.shape)
        value, gradients = found.value, found.vjp(cotangent) if case.order else {}
        second: Mapping[str, Array] = {}
        second_scale: Mapping[str, Array] = {}
        if case.order == 2:
            assert found.hvp is not None
            assert found.hvp_scale is not None
            second, second_scale = found.hvp(cotangent, case.tangents), found.hvp_scale(cotangent, case.tangents)
        if needs_exact:
            known, blur = gradients, exact.blur(case, np.abs(cotangent) * found.scale)
            value, gradients, second = exact.evaluate(case, cotangent)
            gradients = {  # entries that were not drawn, and those that 70 digits do not show
                n: np.where(np.isnan(g) | (np.abs(g - known[n]) <= blur[n]), known[n], g) for n, g in gradients.items()
            }

        accuracy = losses()[case.loss].front["accuracy"]
        weighed = WEIGHED * sum(name in case.inputs for name in losses()[case.loss].weights)
        kappas = {n: accuracy[n] + weighed for n in accuracy if "kappa" in n}
        unit, g = arithmetic(case.widest).roundoff, self.allowance(case, found.terms)
        growth = 1.0 if self.ours else 1.0 + _log_scale(case)
        weight = found.vjp_scale(cotangent) if case.order else {}
        value_unit = (kappas["kappa"] * growth + g) * unit
        gradient_unit = (kappas["kappa_gradient"] * growth + g) * unit
        share, pair_unit = np.max(np.abs(cotangent), initial=0.0), (kappas["kappa"] + g) * unit

        def budgets(grade: str) -> tuple[Array, dict[str, Array]]:
            extra_value, extra_gradient = _grade_scales(case, found, pair_unit, grade)
            of_pairs, of_pair_gradients = _pair_errors(case, found, grade, pair_unit, cotangent)
            of_value = np.asarray(value_unit * found.scale + _reduced(extra_value, case) + of_pairs)
            return of_value, {
                name: gradient_unit * scale + share * extra_gradient + of_pair_gradients.get(name, 0.0)
                for name, scale in weight.items()
            }

        return Expected(
            value=value,
            gradients=gradients,
            second=second,
            budgets=cache(np.errstate(over="ignore")(budgets)),  # most answers need the first grade alone
            second_budget={
                name: (kappas["kappa_second"] * growth + g) * unit * scale for name, scale in second_scale.items()
            },
        )


def _alike(one: Case, other: Case) -> bool:
    """Whether two cases are the same call of the same arrays, in the same dtype."""
    same = one.inputs is other.inputs and one.loss == other.loss and one.widest == other.widest
    return same and one.parameters == other.parameters


def _longest_sum(case: Case) -> tuple[int, int]:
    """Return the length of the longest sum inside a term, and the number of terms, as the page's symbols give them."""
    page = losses()[case.loss]
    first = case.inputs[next(iter(page.inputs))].shape
    symbols = {"D": first[-1], "...": int(np.prod(first[:-1], dtype=int))}
    for name, entry in page.inputs.items():
        if "..." not in entry["shape"] and name in case.inputs:
            symbols |= zip(entry["shape"].split(), case.inputs[name].shape, strict=True)
    symbols.setdefault("M", symbols.get("B", 0))  # without a second set the candidates are the batch
    accuracy = page.front["accuracy"]

    def length(product: Sequence[str]) -> int:
        return int(np.prod([symbols[s] for s in product], dtype=int))

    width, terms = accuracy.get("width", [["D"]]), accuracy.get("terms", ["..."])
    return max(length(product) for product in width), length(terms)


def output_slack(value: Array, dtype: str) -> Array:
    """Return what the rounding to the output's own format may add: u_out |v| + eta."""
    form = FORMATS.get(dtype, FORMATS["float64"])
    with np.errstate(invalid="ignore"):
        return form.roundoff * np.abs(value) + form.tiny


def _log_scale(case: Case) -> float:
    """Return |ln s| for rows of scale s under a general exponent (DI-19)."""
    p = case.parameters.get("p", 2.0)
    if case.parameters.get("distance", "p_norm") != "p_norm" or p in (1.0, 2.0, np.inf):
        return 0.0
    sizes = np.concatenate([np.abs(a[np.isfinite(a)]).ravel() for a in case.inputs.values() if a.dtype.kind == "f"])
    sizes = sizes[sizes > 0]
    return float(np.max(np.abs(np.log(sizes)), initial=0.0)) / 4


def _radius(case: Case, grade: str) -> Any:
    """Return the largest norm of a row: R of PW-6, about the mean of the distinct rows where the grade is `centred`."""
    rows, distinct = _rows(case)
    origin = np.mean(distinct, axis=0) if grade == "centred" and len(distinct) else 0.0
    return np.sqrt(np.max(np.sum((rows - origin) ** 2, axis=-1), initial=0.0))


def _grade_scales(case: Case, found: judged.Evaluation, unit: float, grade: str) -> tuple[Any, float]:
    """Return what the grades `centred` and `normwise` add to a term, min(sqrt E, E/d), and to a gradient entry."""
    if not found.distances or grade == "direct":
        return np.zeros(()), 0.0
    squared, radius = case.parameters.get("distance") == "squared_euclidean", _radius(case, grade)
    energy = unit * radius**2
    means = case.parameters.get("reduction", "mean").startswith("mean")  # a share of the weights is at most 1
    weights = np.ones(()) if means else case.inputs.get("weights", np.ones(()))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.full_like(d, energy) if squared else np.fmin(np.sqrt(energy), energy / d) for d in found.distances]
        turns = [
            2 * unit * radius + 0 * d if squared else np.fmin(2.0, part / d)
            for d, part in zip(found.distances, parts, strict=True)
        ]
    gradient = float(np.max(sum(np.nan_to_num(turn) for turn in turns), initial=0.0))
    return np.nan_to_num(weights * sum(parts, np.zeros(()))), gradient * float(np.max(weights, initial=0.0))


def _pair_errors(
    case: Case, found: judged.Evaluation, grade: str, unit: float, cotangent: Array
) -> tuple[Any, Mapping[str, Array]]:
    """Return what a grade adds to the value and to the gradients of a loss of the pairs of a batch: PW-6, PW-7."""
    distance = case.parameters.get("distance", losses()[case.loss].parameters.get("distance", {}).get("default"))
    if found.pair_errors is None or grade == "direct" or distance == "cosine":
        return 0.0, {}
    radius = _radius(case, grade)
    energy = unit * radius**2

    def of_distance(d: Array) -> Array:
        if distance == "squared_euclidean":
            return np.full_like(d, energy)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.fmin(np.sqrt(unit) * radius, energy / d))

    def of_direction(d: Array) -> Array:
        if distance == "squared_euclidean":
            return np.full_like(d, 2 * unit * radius)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.fmin(2.0, of_distance(d) / d))

    with np.errstate(over="ignore", invalid="ignore"):
        value, gradients = found.pair_errors(of_distance, of_direction, cotangent)
    return np.nan_to_num(value), {name: np.nan_to_num(a) for name, a in gradients.items()}


def _rows(case: Case) -> tuple[Array, Array]:
    """Return the finite rows of a case that take part, and those of them that no candidate stands for."""
    page, parts = losses()[case.loss], []
    for name, array in case.inputs.items():
        if array.dtype.kind == "f" and name != "weights":
            masks = [m for m in ("mask", "candidate_mask") if m in case.inputs and name in page.aligned_to(m)]
            chosen = case.inputs[masks[0]] if masks else np.ones(array.shape[:-1], bool)
            chosen = chosen & np.all(np.isfinite(array), axis=-1)
            parts.append((array[chosen], array[chosen & ~_stood_for(case)] if name == "embeddings" else array[chosen]))
    every, distinct = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return every, distinct


def _stood_for(case: Case) -> Array:
    """Return which anchors name a candidate that takes part."""
    index = case.inputs.get("candidate_index")
    if index is None or not len(case.inputs["candidates"]):
        return np.array(False)
    takes_part = np.all(np.isfinite(case.inputs["candidates"]), axis=-1)
    takes_part = takes_part & case.inputs.get("candidate_mask", np.array(True))
    return np.asarray((index >= 0) & takes_part[np.clip(index, 0, len(takes_part) - 1)])


def _reduced(extra: Array, case: Case) -> Array:
    reduction = case.parameters.get("reduction", "mean")
    if reduction == "none" or np.ndim(extra) == 0:
        return extra
    return np.asarray(np.sum(extra) if reduction == "sum" else np.max(extra, initial=0.0))
