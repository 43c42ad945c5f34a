"""The plan: which probes are run for a loss. The conventions bring most of them; each loss adds its own."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.cases.errors import wrongs
from lossproof.conformance.plan.cases.functions import MOST, examples
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.conventions import conventions
from lossproof.conformance.plan.probe import OfExamples, OfFunctions, OfPurity, OfRefusals, OfVectors, Probe
from lossproof.spec import clauses, functions, losses, vectors

HALF_FORMATS = "CV-17"  # whose examples are about these
FILLS = 4  # sets of numbers for each structure: a structure may cost a compilation, a set of numbers does not


def losses_known(only: Collection[str] = ()) -> Mapping[str, LossCases]:
    """Return the cases of each loss, or of these only."""
    home = "lossproof.conformance.plan.cases"
    return {
        loss: importlib.import_module(f"{home}.{page.name}").CASES
        for loss, page in losses().items()
        if not only or loss in only
    }


def plan(loss: str, own: LossCases) -> list[Probe]:
    """Return the probes of a loss, in the order in which they are run."""
    errors = [Probe(loss, "errors", clause, label) for clause, label in wrongs(loss)]
    return [*_examples(loss), *own.probes(), *errors, *conventions(own), *_vectors(loss)]


def plan_of_function(name: str) -> list[Probe]:
    """Return the probes of a function that is no loss: the examples of each clause, then drawn calls."""
    own = dict.fromkeys(example.clause for example in examples(name))
    worked = [Probe(name, "functions", clause) for clause in own]
    return [*worked, Probe(name, "function_purity", "CV-21"), *_drawn(name), *_kept(name), *_refused(name)]


def _drawn(name: str) -> Iterator[Probe]:
    """Yield the probes of drawn calls: in each dtype, of every size, with labels of every integer dtype."""
    entry, clause = functions()[name], examples(name)[0].clause
    counted = [given["counts"] for given in entry["returns"].values() if "counts" in given]

    def probe(clause: str, label: str, effort: float = 1.0, **options: Any) -> Probe:
        return Probe(name, "functions", clause, label, options=OfFunctions(drawn=True, **options), effort=effort)

    yield probe(clause, "drawn", plain=True, many=not counted)
    if any(given["kind"] == "float" for given in entry["inputs"].values()):
        yield probe(clause, "drawn float32", 0.5, dtype="float32", lenient=True)
        for half in HALVES:
            yield probe("CV-17", f"drawn {half}", dtype=half, lenient=True, many=not counted)
    for returned, kept in entry["returns"].items():
        if "like" in kept:
            other = {"integers": True} if kept["kind"] == "integer" else {"dtype": "float16"}
            yield probe(kept["clause"], f"dtype of {returned}", 0.25, lenient=True, sizes={"B": 3}, **other)
    for axis, own in entry.get("empty", {}).items():
        yield probe(own, f"{axis} = 0", 0.25, sizes={axis: 0})
    if "differentiable" in entry:
        yield probe(entry["differentiable"], "gradient", gradient=True, own_clause=True)
    for key, given in entry["inputs"].items():
        if "wider" in given:
            yield probe(given["wider"], f"wider {key}", 0.5, wider=key, dtype="float32", lenient=True)
    for own in counted:  # more than float32 has whole numbers
        for dtype in ("float64", "float32", *HALVES):
            yield probe(own, f"many, {dtype}", 0.1, dtype=dtype, lenient=True, sizes=MOST, own_clause=True)
    if "thresholds" in entry["inputs"]:  # more pairs of a kind than 16 bits count
        yield probe("VE-5", "many pairs", 0.01, sizes={"N": 100_000, "T": 8})
    if "labels" in entry["inputs"]:
        yield probe("CV-31", "integers of every dtype", 0.5, integers=True, lenient=True, sizes={"B": 9})


def _kept(name: str) -> Iterator[Probe]:
    """Yield the probes of what a call leaves alone."""
    entry = functions()[name]
    if "constant" in entry:
        yield Probe(name, "function_purity", entry["constant"], "constant", options=OfPurity(constant=True))
    for returned, kept in entry["returns"].items():
        if "unmet" in kept:
            yield Probe(name, "function_purity", kept["unmet"], "unmet", options=OfPurity(unmet=returned))


def _refused(name: str) -> Iterator[Probe]:
    """Yield the probes of calls that are wrong."""
    for clause, label in wrongs(name):
        yield Probe(name, "refusals", clause, label, options=OfRefusals(wrong=True))
    for key, given in functions()[name]["inputs"].items():
        if given["kind"] == "label" and "range" in given:
            yield Probe(name, "refusals", "CV-33")
        if given["kind"] == "index":
            yield Probe(name, "refusals", given["clause"], options=OfRefusals(index=key))


def plain_probe(name: str) -> Probe:
    """Return the probe of plain drawn calls of a function."""
    return next(probe for probe in _drawn(name) if probe.of(OfFunctions).plain)


def everything() -> list[Probe]:
    """Return every probe there is, of the losses and of the functions."""
    found = losses_known()
    return [
        *(p for loss in losses() for p in plan(loss, found[loss])),
        *(p for name in functions() for p in plan_of_function(name)),
    ]


def _examples(loss: str) -> Iterator[Probe]:
    for clause in clauses().values():
        if any(example.loss == loss and not example.raises for example in clause.examples):
            yield Probe(loss, "examples", clause.id, options=OfExamples(halves=clause.id == HALF_FORMATS))


def _vectors(loss: str) -> Iterator[Probe]:
    for clause in dict.fromkeys(vector.clauses[0] for vector in vectors(loss)):
        yield Probe(loss, "vectors", clause)
        yield Probe(loss, "vectors", clause, "copies", options=OfVectors(copies=True))
