"""The calls of a function that is no loss: its worked examples, and drawn ones with what the reference answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import lossproof.reference as reference
from lossproof.conformance.checks.function_results import judged
from lossproof.conformance.host.case import Case, from_json
from lossproof.conformance.host.offer import COSTLY
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Mismatch
from lossproof.conformance.plan.cases.functions import Call, drawn, examples
from lossproof.conformance.plan.cases.structures import generator
from lossproof.conformance.plan.plan import plan_of_function
from lossproof.conformance.plan.probe import OfFunctions, OfRefusals, Probe
from lossproof.spec import clauses, functions

CALLS = 24  # drawn calls of a function, at the default effort of 6
MANY = {
    "B": 601,
    "C": 1,
    "D": 2,
    "N": 601,
    "...": 601,
}  # more than eight bits count, and than a half format adds up one by one
OFTEN = {"B": 9, "C": 2, "...": 25}  # several rows of one class
FEW = ({"B": 5, "C": 3, "D": 2, "Q": 3, "N": 8, "T": 3, "...": 9}, {"B": 1, "C": 1, "D": 1, "Q": 1, "N": 1, "T": 1})


def offered(judge: Judge, probe: Probe) -> None:
    """Raise where the implementation has no such function, or is the reference and would be its own judge."""
    if probe.loss not in judge.session.hello.get("functions", {}):
        raise Unsupported(f"no function {probe.loss}")
    drawn_calls = probe.check == "functions" and probe.of(OfFunctions).drawn
    compared = drawn_calls or (probe.check == "refusals" and not probe.of(OfRefusals).wrong)
    if judge.oracle.exact_only and compared:
        raise Unsupported("the reference is not judged by itself")


def plain_dtype(judge: Judge) -> str:
    """Return the dtype of plain calls."""
    return "float64" if "float64" in judge.session.hello["dtypes"] else "float32"


def plain_probe(name: str) -> Probe:
    """Return the probe of plain drawn calls of a function."""
    return next(p for p in plan_of_function(name) if p.check == "functions" and p.of(OfFunctions).plain)


def can_give(judge: Judge, name: str, argument: str) -> bool:
    """Whether the implementation has this argument of a function."""
    accepts = judge.session.hello["functions"][name].get("accepts")
    return accepts is None or argument in accepts


def possible(judge: Judge, calls: Iterable[Call]) -> Iterator[Call]:
    """Yield those calls whose arguments the implementation has all, with values that it claims or that it has fixed."""
    for case, wanted, exact in calls:
        entry, options = judge.session.hello["functions"][case.loss], functions()[case.loss].get("parameters", {})
        limits, fixed = entry.get("limits", {}), entry.get("fixed", {})
        if any(from_json(value) != options[n].get("default") for n, value in fixed.items()):
            continue
        within = all(value in map(from_json, limits.get(n, [value])) for n, value in case.parameters.items())
        if within and all(can_give(judge, case.loss, n) for n in (*case.inputs, *case.parameters)):
            yield case, wanted, exact


def ask(judge: Judge, case: Case, wanted: list[Any] | None, exact: bool) -> Mismatch | None:
    """Ask one call and compare."""
    return judged(case, judge.ask(case), wanted, exact, judge.oracle.ours)


def answer(name: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[Any]:
    """Return what the reference answers."""
    found = getattr(reference, name)(**inputs, **parameters)
    return list(found) if isinstance(found, tuple) else [found]


def legal(
    judge: Judge, probe: Probe, number: int, dtype: str, sizes: Mapping[str, int] | None = None
) -> tuple[Case, list[Any]]:
    """Return a drawn call with what the reference answers; of few shapes where each costs a compilation."""
    costly = float(judge.session.hello.get("effort", 1.0)) < COSTLY
    few = FEW[number % len(FEW)] if costly else {}
    inputs, parameters = drawn(probe.loss, generator(judge.seed, probe.name, number), dtype, {**few, **(sizes or {})})
    entry, own = judge.session.hello["functions"][probe.loss], functions()[probe.loss].get("parameters", {})
    limits = {n: [from_json(value) for value in values] for n, values in entry.get("limits", {}).items()}
    claimed = {n: limits[n][number % len(limits[n])] if n in limits else value for n, value in parameters.items()}
    given = {n: value for n, value in claimed.items() if can_give(judge, probe.loss, n) or "default" not in own[n]}
    inputs = {n: a for n, a in inputs.items() if n != "mask" or can_give(judge, probe.loss, n)}
    case = Case(probe.loss, inputs, dtype, given, order=0, results=True)
    return case, answer(probe.loss, inputs, {**fixed(judge, probe.loss), **given})


def fixed(judge: Judge, name: str) -> dict[str, Any]:
    """Return the options that the implementation declares fixed, with their values."""
    return {n: from_json(value) for n, value in judge.session.hello["functions"][name].get("fixed", {}).items()}


def calls(judge: Judge, probe: Probe, dtype: str) -> Iterator[Call]:
    """Yield the drawn calls of a probe."""
    share = probe.effort * float(judge.session.hello.get("effort", 1.0)) * judge.examples / 6
    integers = judge.session.hello.get("integers", ["int64"])
    counted = [n for n, given in functions()[probe.loss]["inputs"].items() if given["kind"] in ("label", "index")]
    asked = probe.of(OfFunctions)
    for number in range(max(1, round(CALLS * share))):
        sizes = MANY if number in (2, 6, 10) and asked.many else OFTEN if number % 4 == 3 else {}
        case, wanted = legal(judge, probe, number, dtype, sizes if asked.sizes is None else asked.sizes)
        if asked.integers:
            own = integers[number % len(integers)]
            lowest, highest = (0 if own.startswith("u") else -100), 100
            if not all(((case.inputs[n] >= lowest) & (case.inputs[n] <= highest)).all() for n in counted):
                continue
            case = replace(case, dtypes=dict.fromkeys(counted, own))
        yield case, wanted, False


def right(judge: Judge, probe: Probe) -> bool:
    """Whether every example of a function is right, so that other calls of it say something new."""
    key = f"examples of {probe.loss}"
    if key not in judge.known:
        found = possible(judge, examples(probe.loss, clauses(), plain_dtype(judge)))
        judge.known[key] = not any(ask(judge, *call) for call in found)
    return judge.known[key]


def sound(judge: Judge, probe: Probe) -> bool:
    """Whether every example and every plain drawn call is right."""
    if _calls_of(probe) not in judge.known:
        found = calls(judge, plain_probe(probe.loss), plain_dtype(judge)) if right(judge, probe) else ()
        remember(judge, probe, sound=right(judge, probe) and not any(ask(judge, *call) for call in found))
    return judge.known[_calls_of(probe)]


def remember(judge: Judge, probe: Probe, *, sound: bool) -> None:
    """Keep what the plain drawn calls of a function have shown, so that they are asked once."""
    judge.known[_calls_of(probe)] = sound


def _calls_of(probe: Probe) -> str:
    return f"calls of {probe.loss}"
