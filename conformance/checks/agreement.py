"""Agreement with the oracle on general cases: value, gradient, second derivative, in every mode and precision."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.judge.compare import against, unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.judge.smallest import agree
from lossproof.conformance.plan.probe import OfAgreement, Probe

LARGEST = {"float32": 3e38, "float64": 1.7e308}


def value(judge: Judge, probe: Probe, result: Result) -> None:
    """Judge the value alone; no gradient is asked for."""
    agree(judge, replace(probe, vary={**probe.vary, "order": (0,)}), result, ("value",))


def gradient(judge: Judge, probe: Probe, result: Result) -> None:
    """Judge the gradient alone: the value has its own probes."""
    if 1 not in judge.offers[probe.loss].orders:
        raise Unsupported("no gradients")
    agree(judge, probe, result, ("gradient",))


def both(judge: Judge, probe: Probe, result: Result) -> None:
    """Judge value and gradient."""
    vectorised = "vectorised" in probe.vary.get("mode", ())
    if vectorised:
        return value(judge, probe, result)
    agree(judge, probe, result, ("value", "gradient"))
    return None


def second(judge: Judge, probe: Probe, result: Result) -> None:
    """Judge the derivative of the gradient along tangents."""
    if 2 not in judge.offers[probe.loss].orders:
        raise Unsupported("no gradients of gradients")
    agree(judge, replace(probe, vary={**probe.vary, "order": (2,)}), result, ("second",))
    if judge.oracle.ours and not judge.oracle.exact_only and not result.findings:
        _at_kinks(judge, probe, result)


def _at_kinks(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the boundary cases for second derivatives: at a kink, ours are those of the branch the spec chooses."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    for clause in loss.boundaries.gradient:
        for plain in loss.boundaries.cases(clause, offer, judge.seed):
            if plain.dtype in HALVES:
                continue
            rows = {name: a for name, a in plain.inputs.items() if a.dtype.kind == "f"}
            along = {n: np.arange(1.0, a.size + 1).reshape(a.shape) for n, a in rows.items()}
            tangents = {n: (-2.0) ** i * a for i, (n, a) in enumerate(along.items())}  # rows move apart
            case = replace(plain, order=2, tangents=tangents)
            result.planned += 1
            answer = judge.ask(case)
            if answer.unsupported:
                continue
            mismatch, _ = against(case, answer, judge.oracle.expected(case), ("second",))
            if mismatch:
                result.findings.append(judge.finding(probe, mismatch, case))
                return


def precision(judge: Judge, probe: Probe, result: Result) -> None:
    """Judge value or gradient where the budget is sharp; outside the domain, that nothing is NaN (CV-19)."""
    options = probe.of(OfAgreement)
    if not options.beyond:
        return agree(judge, probe, result, (options.part,))
    if judge.oracle.exact_only:
        raise Unsupported("the reference is written in float64 as the page is, and overflows beyond the domain")
    return _no_filler(judge, probe, result) if options.filler else _no_nan(judge, probe, result)


def _no_filler(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask for two rows at one end of the range and a third at the other: no triplet is active, whatever fills gaps."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    legal = loss.legal(offer)
    parameters = {"distance": probe.of(OfAgreement).filler, "reduction": "none"}
    if any(not offer.choices(name, [value]) for name, value in parameters.items()):
        raise Unsupported(f"distance = {parameters['distance']!r}, term by term")
    for dtype in offer.choices("dtype", ["float32", "float64"]):
        for order in itertools.permutations(range(3)):
            rows = LARGEST[dtype] * np.array([[-1.0], [-1.0], [1.0]])[list(order)]
            inputs = {**legal.inputs, "embeddings": rows, "labels": np.array([0, 0, 1])[list(order)]}
            case = replace(
                legal, inputs=inputs, dtype=dtype, parameters={n: v for n, v in parameters.items() if offer.has(n)}
            )
            result.planned += 1
            answer = judge.ask(case)
            found = unanswered(answer)
            if not found and answer.value is not None and np.any(answer.value != 0):
                place = tuple(map(int, np.argwhere(answer.value != 0)[0]))
                found = Mismatch("value", f"loss{list(place)}", float(answer.value[place]), 0.0)
            if found:
                result.findings.append(judge.finding(probe, found, case))
                return


def _no_nan(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask for rows at the ends of the range of the dtype: any number may come back, but NaN may not."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]

    def examine(structure: dict[str, object]) -> Finding | None:
        for fill in range(2):
            case = loss.build(structure, offer, judge.seed, fill)
            largest = LARGEST[case.dtype]
            for size in (largest, 1 / largest, largest**0.5):
                inputs = {n: np.clip(a, -1, 1) * size if a.dtype.kind == "f" else a for n, a in case.inputs.items()}
                extreme = replace(case, inputs=inputs)
                result.planned += 1
                answer = judge.ask(extreme)
                found = unanswered(answer)
                if found:
                    return judge.finding(probe, found, extreme)
                arrays = {
                    "loss": answer.value,
                    **{f"gradient of {n}": g for n, g in answer.gradients.items()},
                }
                for where, array in arrays.items():
                    if array is not None and np.isnan(array).any():
                        mismatch = Mismatch("value", where, float("nan"), "a number")
                        return judge.finding(probe, mismatch, extreme)
        return None

    judge.structures(probe, result, examine)
