"""Weights of units and classes: rows of weight 0 may hold anything, wider ones are read, and no weight is no number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lossproof.conformance.checks.own_term import NAN_OR_ERROR
from lossproof.conformance.checks.widths import wider
from lossproof.conformance.host.arrays import FORMATS, Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.compare import farthest, overflown, unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.oracle import output_slack
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OfWeights, Probe
from lossproof.spec import losses

WILD = (np.nan, -1.0, np.inf)


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask calls with weights that a loss must not stumble over."""
    options = probe.of(OfWeights)
    ask = _wider if options.wider else _without_weight
    if options.wild:
        ask = _wild if options.of == "weights" else _wild_class
    if options.part == "gradient" and 1 not in judge.offers[probe.loss].orders:
        raise Unsupported("no gradients")

    def examine(structure: Structure) -> Finding | None:
        case = judge.case(probe, structure, 0)
        if case is None or not case.inputs[options.of].size:
            return None
        result.planned += 1
        if judge.judge_case(case, structure, ("value", "gradient") if case.order else ("value",)):
            judge.obscured += 1  # its own probes speak of that
            return None
        found = next(ask(judge, probe, structure, case), None)
        return judge.finding(probe, found[1], found[0]) if found else None

    judge.structures(probe, result, examine)


def _without_weight(judge: Judge, probe: Probe, structure: Structure, case: Case) -> Iterator[tuple[Case, Mismatch]]:
    """Fill the rows whose weight is 0 with what is no number: CV-41, CV-42."""
    rows, spared = losses()[case.loss].rows, case.inputs["weights"] == 0
    for content in (np.nan, np.inf, 3e4):
        filled = {name: np.where(spared[..., None], content, case.inputs[name]) for name in rows}
        failure = judge.judge_case(
            replace(case, inputs={**case.inputs, **filled}), structure, (probe.of(OfWeights).part,)
        )
        if failure:
            yield failure


def _wider(judge: Judge, probe: Probe, structure: Structure, case: Case) -> Iterator[tuple[Case, Mismatch]]:
    """Give weights in a wider dtype, with bits that the dtype of the rows does not hold: CV-45, CE-17, ST-21."""
    offer, name = judge.offers[case.loss], probe.of(OfWeights).of
    for wide in list(wider(offer, case.dtype))[-1:]:
        step = FORMATS[case.dtype].roundoff * generator(judge.seed, probe.name, structure).standard_normal()
        weights = rounded(case.inputs[name] * (1.0 + step), wide)
        other = replace(case, inputs={**case.inputs, name: weights}, dtypes={name: wide})
        if judge.oracle.ours or not judge.ask(other).refused:
            failure = judge.judge_case(other, structure, ("value", "gradient") if case.order else ("value",))
            if failure:
                yield failure


def _wild(judge: Judge, probe: Probe, structure: Structure, case: Case) -> Iterator[tuple[Case, Mismatch]]:
    """Give one unit a weight that is none: an error, or NaN in its own term and nowhere else (CV-46)."""
    spec = judge.judged(case, structure)
    terms = judge.oracle.evaluate(replace(spec, parameters={**spec.parameters, **_apart(case)}))
    owned = np.abs(terms.value).reshape(len(case.inputs["weights"]), -1).max(axis=1) if terms.value.ndim else None
    places = np.flatnonzero(case.inputs.get("mask", np.ones(len(case.inputs["weights"]), bool)))
    places = places if owned is None else places[owned[places] > 0]
    if not len(places):
        return
    place = int(generator(judge.seed, probe.name, structure).choice(places))
    for weight in WILD:
        wrong, without = (_with(case, "weights", place, w) for w in (weight, 0.0))
        answer = judge.ask(wrong)
        found = None if answer.refused else unanswered(answer)
        if answer.value is not None and not found:
            found = _contained(judge, judge.judged(without, structure), answer.value, answer.value_dtype, place)
        if found:
            yield wrong, found


def _wild_class(judge: Judge, probe: Probe, structure: Structure, case: Case) -> Iterator[tuple[Case, Mismatch]]:
    """Give one class a weight that is none: an error, or NaN in each term that is not taken out (CE-18, ST-22)."""
    name, units = probe.of(OfWeights).of, np.ones(len(next(iter(case.inputs.values()))), bool)
    kept = case.inputs.get("mask", units) & (case.inputs.get("weights", units) != 0)
    place = int(generator(judge.seed, probe.name, structure).integers(len(case.inputs[name])))
    for weight in WILD:
        wrong = _with(case, name, place, weight)
        answer = judge.ask(wrong)
        if answer.refused or answer.unsupported:
            continue
        found, value = unanswered(answer), answer.value
        if value is not None and not found:
            nan = kept if value.ndim else kept.any()
            if not np.array_equal(np.isnan(value), nan) or np.any(value[~np.isnan(value)] != 0):
                found = Mismatch("value", "loss", value.tolist(), f"an error, or nan in {int(kept.sum())} terms")
        if found:
            yield wrong, found


def _apart(case: Case) -> dict[str, str]:
    """Return the option that gives the terms one by one, if there is one."""
    return {"reduction": "none"} if "reduction" in losses()[case.loss].parameters else {}


def _with(case: Case, name: str, place: int, weight: float) -> Case:
    weights = case.inputs[name].copy()
    weights[place] = weight
    return replace(case, inputs={**case.inputs, name: weights})


def _contained(judge: Judge, without: Case, value: Array, dtype: str, place: int) -> Mismatch | None:
    """Return the mismatch of a loss that a wild weight left a number, or of another term that it changed."""
    if not value.ndim:
        return None if np.isnan(value) else Mismatch("value", "loss", float(value), NAN_OR_ERROR)
    expected = judge.oracle.expected(replace(without, order=0))
    if not np.isnan(value[place]).any():
        return Mismatch("value", f"loss[{place}]", value[place].tolist(), NAN_OR_ERROR)
    own = np.zeros(value.shape, bool)
    own[place] = True
    want, room = expected.value, expected.value_budget(judge.grade) + output_slack(expected.value, dtype)
    return farthest("value", "loss", value, want, room, own | overflown(value, want, room, dtype))[0]
