"""Ties, copies of rows and second derivatives of a batch that is spread over processes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from lossproof.conformance.checks import boundary
from lossproof.conformance.host.arrays import HALVES, Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.ranks import APART, world_of
from lossproof.conformance.judge.compare import unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure, generator, split_of
from lossproof.conformance.plan.probe import OfDevices, Probe
from lossproof.spec import losses

TIES = 8  # boundary cases of each clause, where a call costs more
FARTHEST = {"float64": 2.0**-24, "float32": 2.0**-8}  # relative: what no rounding explains, of a second derivative


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask what the probe says."""
    asks = {"scale": _scale, "alike": _alike, "ties": _ties, "copies": _copies, "second": _second}
    asks[probe.of(OfDevices).ask](judge, probe, result)


def _scale(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask whether a loss, or a gradient, is W or 1/W times the right one where gradients are averaged (DD-6)."""
    if judge.session.hello.get("ranks", {}).get("combine") != "mean":
        raise Unsupported("it has its gradients added up")

    def examine(structure: Structure) -> Finding | None:
        for fill in range(judge.fills):
            case = judge.case(probe, structure, fill)
            if case is None:
                return None
            result.planned += 1
            answer, expected = judge.ask(case), judge.oracle.expected(judge.judged(case, structure))
            pairs = [("loss", answer.value, expected.value)]
            pairs += [(f"gradient of {n}", answer.gradients.get(n), want) for n, want in expected.gradients.items()]
            for where, got, want in pairs:
                mismatch = _times_world(where, got, np.asarray(want, float), len(case.split))
                if mismatch:
                    return judge.finding(probe, mismatch, case)
        return None

    judge.structures(probe, result, examine)


def _times_world(where: str, got: Array | None, want: Array, world: int) -> Mismatch | None:
    """Return the first number that is W or 1/W times what it should be, where all of them are."""
    if got is None or got.shape != want.shape or not np.any(want):
        return None
    for factor in (float(world), 1.0 / world):
        if np.allclose(got, factor * want, rtol=2.0**-8, atol=0.0):
            place = tuple(map(int, np.argwhere(want)[0]))
            return Mismatch("value" if where == "loss" else "gradient", where, float(got[place]), float(want[place]))
    return None


def _alike(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask with a process that has no rows, and with one whose rows are all masked out: each answers (DD-15)."""

    def examine(structure: Structure) -> Finding | None:
        for split, masked in (("even", True), ("one without rows", False)):
            offer = judge.offers[probe.loss]
            if (offer.even and split != "even") or (masked and not offer.has("mask")):
                continue
            case = judge.case(probe, {**structure, "split": split}, 0)
            if case is None:
                continue
            if masked:
                aligned = case.inputs[losses()[probe.loss].aligned[0]]
                taking = np.arange(aligned.shape[0]) >= case.split[0]
                mask = np.broadcast_to(taking.reshape(-1, *[1] * (aligned.ndim - 2)), aligned.shape[: aligned.ndim - 1])
                case = replace(case, inputs={**case.inputs, "mask": mask.copy()})
            result.planned += 1
            found = unanswered(judge.ask(case))
            if found:
                return judge.finding(probe, found, case)
        return None

    judge.structures(probe, result, examine)


def _ties(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the boundary cases with their rows on several processes: the lowest index of the union is chosen (DD-11)."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    modes = offer.choices("mode", probe.vary["mode"])
    if not modes:
        raise Unsupported("no processes")
    whole: list[Case] = []
    for clause in loss.boundaries.gradient:
        cases = loss.boundaries.cases(clause, offer, judge.seed)
        fitting = (c for c in cases if c.order and c.dtype not in HALVES and "candidates" not in c.inputs)
        whole += fitting if offer.effort == 1 else itertools.islice(fitting, TIES)
    for number, case in enumerate(whole):
        mode = modes[number % len(modes)]
        count = next(iter(case.inputs.values())).shape[0]
        split = split_of(None, count, world_of(mode), generator(judge.seed, "ties", number), even=offer.even)
        if not split or boundary.judge_case(judge, probe, case, result, gradient=True):
            continue  # the plain call is wrong there, and has probes of its own
        spread = replace(case, mode=mode, split=split)
        result.planned += 1
        mismatch = boundary.judge_case(judge, probe, spread, result, gradient=True)
        if mismatch:
            result.findings.append(judge.finding(probe, mismatch, spread))
            return


def _copies(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask for the loss of rows of which each but the first stands a second time, on the last process (DD-12)."""
    if judge.offers[probe.loss].even:
        raise Unsupported("processes with different numbers of rows")

    def examine(structure: Structure) -> Finding | None:
        case = judge.case(probe, {**structure, "order": 0}, 0)
        if case is None:
            return None
        aligned, count = losses()[probe.loss].aligned, sum(case.split)
        twice = np.concatenate([np.arange(count), np.arange(1, count)])
        inputs = {name: a[twice] if name in aligned else a for name, a in case.inputs.items()}
        split = (*case.split[:-1], case.split[-1] + count - 1)
        doubled = replace(case, inputs=inputs, split=split, cotangent=None)
        result.planned += 1
        failure = judge.judge_case(doubled, structure, ("value",), result)
        if failure and judge.judge_case(_plain(judge, doubled), structure, ("value",)):
            judge.obscured += 1
        elif failure:
            return judge.finding(probe, failure[1], failure[0])
        return None

    judge.structures(probe, result, examine)


def _second(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask for the derivative of the gradient, which is that of one call with all rows (DD-16); to raise is legal."""
    if 2 not in judge.session.hello.get("orders", [0, 1]):  # also where the page has no budget for it
        raise Unsupported("no gradients of gradients")

    def examine(structure: Structure) -> Finding | None:
        for split in ("even", "one without rows"):
            found = _second_of(judge, probe, {**structure, "split": split}, result)
            if found:
                return found
        return None

    judge.structures(probe, result, examine)


def _second_of(judge: Judge, probe: Probe, structure: Structure, result: Result) -> Finding | None:
    """Compare the second derivative of a case with that of the plain call."""
    case = judge.case(probe, structure, 0)
    if case is None or case.dtype not in FARTHEST:
        return None
    rng = generator(judge.seed, "second", structure)
    rows = {name: a for name, a in case.inputs.items() if a.dtype.kind == "f"}
    along = {name: np.asarray(rng.standard_normal(a.shape) * (name != "weights")) for name, a in rows.items()}
    spread = replace(case, order=2, tangents=along)
    plain = judge.ask(_plain(judge, spread))
    if plain.problem or plain.unsupported:
        return None
    result.planned += 1
    answer = judge.ask(spread)
    if answer.failure or (answer.error and answer.error["type"] in APART):
        mismatch = unanswered(answer)
        return judge.finding(probe, mismatch, spread) if mismatch else None
    if answer.error or answer.unsupported:
        return None
    for name in losses()[probe.loss].differentiable:
        mismatch = _far(name, answer.second.get(name), plain.second.get(name), FARTHEST[case.dtype])
        if mismatch:
            return judge.finding(probe, mismatch, spread)
    return None


def _far(name: str, got: Array | None, want: Array | None, share: float) -> Mismatch | None:
    """Return where a second derivative is farther from another than any rounding brings it."""
    if got is None or want is None or got.shape != want.shape:
        return None
    room = share * (np.abs(want[np.isfinite(want)]).max(initial=0.0) + 2.0**-40)
    wrong = ~(np.abs(got - want) <= room) & ~(np.isnan(got) & np.isnan(want))
    if not wrong.any():
        return None
    place = tuple(map(int, np.argwhere(wrong)[0]))
    where = f"second derivative by {name}{list(place)}"
    return Mismatch("second", where, float(got[place]), float(want[place]), room)


def _plain(judge: Judge, case: Case) -> Case:
    """Return the same call on one device."""
    modes = judge.offers[case.loss].modes
    return replace(case, mode="eager" if "eager" in modes else str(modes[0]), split=())
