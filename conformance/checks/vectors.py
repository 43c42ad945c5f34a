"""The frozen vectors of the spec, and copies of them that nobody has published.

A general fault has its own probes, which name its clause better: a vector speaks only where plain cases are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case, from_json, inputs_of
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.oracle import Expected
from lossproof.conformance.judge.results import Result
from lossproof.conformance.plan.probe import OfVectors, Probe
from lossproof.spec import Vector, losses, vectors


def case_of(vector: Vector) -> Case:
    """Return the call of a vector."""
    parameters = {name: from_json(value) for name, value in vector.parameters.items()}
    inputs = inputs_of(vector.loss, vector.inputs)
    return Case(vector.loss, inputs, vector.dtype, parameters, order=1, cotangent=np.array(vector.cotangent, float))


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the vectors of a clause, or their copies, each in its own dtype."""
    offer = judge.offers[probe.loss]
    known = [case_of(v) for v in vectors(probe.loss) if v.clauses[0] == probe.clause]
    known = [case for case in known if case.dtype in offer.dtypes]
    known = [case for case in known if offer.allows(case.parameters, case.inputs)]
    if not known:
        raise Unsupported("the vectors use what is not offered")
    for case in known:
        for asked in (
            copies(case, masks=offer.has("mask") and not offer.costly) if probe.of(OfVectors).copies else [case]
        ):
            if not judge.oracle.undecided(asked):
                result.planned += 1
                _judge(judge, probe, result, asked)
            if result.findings:
                return


def _judge(judge: Judge, probe: Probe, result: Result, judged: Case) -> None:
    offer = judge.offers[probe.loss]
    parameters = {name: value for name, value in judged.parameters.items() if offer.has(name)}
    order = 1 if 1 in offer.orders else 0
    case = replace(judged, parameters=parameters, mode=offer.modes[0], order=order)
    answer = judge.ask(case)
    if answer.unsupported:
        return
    parts = ("value", "gradient")[: 1 + order]
    expected = judge.oracle.expected(replace(judged, order=order))
    mismatch = judge.compare(judged, answer, expected, parts, result)
    if mismatch and (_by_default(judge, case, expected, parts) or not judge.control(probe.loss, parameters, parts)):
        judge.obscured += 1
    elif mismatch:
        refused, loss = mismatch.kind == "raised", judge.losses[probe.loss]
        refusal = loss.refusal(case)
        clause = refusal if refused else mismatch.clause or probe.clause
        result.findings.append(judge.finding(replace(probe, clause=clause, label=""), mismatch, case))


def _by_default(judge: Judge, case: Case, expected: Expected, parts: tuple[str, ...]) -> bool:
    """Whether the call is right once every option is given: then it is a default that is wrong, which has its probe."""
    offer, options = judge.offers[case.loss], losses()[case.loss].parameters
    distance = case.parameters.get("distance", options.get("distance", {}).get("default"))
    applies = {
        n: entry for n, entry in options.items() if offer.has(n) and entry.get("applies_to", distance) == distance
    }
    defaults = {n: entry["default"] for n, entry in applies.items() if entry.get("default") is not None}
    spelled = replace(case, parameters=defaults | dict(case.parameters))
    return spelled.parameters != case.parameters and judge.compare(spelled, judge.ask(spelled), expected, parts) is None


def copies(case: Case, *, masks: bool) -> Iterator[Case]:
    """Yield the case with rows reversed, features turned, labels renamed, numbers scaled, rows added and masked."""
    page = losses()[case.loss]
    axes = {name: entry["shape"].split() for name, entry in page.inputs.items() if name in case.inputs}
    rows = axes[next(iter(page.inputs))][0]
    of_rows = [name for name, symbols in axes.items() if symbols[0] == rows and case.inputs[name].ndim == len(symbols)]
    cotangent = np.ones(()) if case.cotangent is None else case.cotangent

    def with_(changed: Mapping[str, Array], weights: Array = cotangent) -> Case:
        return replace(case, inputs={**case.inputs, **changed}, cotangent=weights)

    of_pairs = "candidates" not in case.inputs  # else the second axis is that of the candidates
    both = cotangent.ndim if of_pairs else min(cotangent.ndim, 1)
    yield with_({name: case.inputs[name][::-1].copy() for name in of_rows}, np.flip(cotangent, tuple(range(both))))
    wide = [name for name, symbols in axes.items() if symbols[-1] == "D"]
    if wide:
        signs = (-1.0) ** np.arange(case.inputs[wide[0]].shape[-1])
        yield with_({name: case.inputs[name][..., ::-1] * signs for name in wide})
    floats = [name for name, array in case.inputs.items() if array.dtype.kind == "f"]
    for factor in (2.0, 0.5):
        yield with_({name: case.inputs[name] * factor for name in floats})
    if "labels" in axes and not page.inputs["labels"].get("range"):
        yield with_({n: 7 - 2 * case.inputs[n] for n in ("labels", "candidate_labels") if n in axes})
    if masks and "mask" in page.inputs and case.inputs[of_rows[0]].ndim == 2:
        given = {name: case.inputs[name] for name in of_rows}
        added = {
            n: np.concatenate([a, a[:1] + 1 if a.dtype.kind == "f" else a[:1]]) for n, a in given.items() if n != "mask"
        }
        mask = case.inputs.get("mask", np.ones(len(case.inputs[of_rows[0]]), bool))
        wider = [(0, int(axis < both)) for axis in range(cotangent.ndim)]
        more = np.pad(cotangent, wider, constant_values=1.0) if cotangent.ndim else cotangent
        yield with_(added | {"mask": np.append(mask, False)}, more)
