"""The probes that the conventions bring to every loss, as far as it has the fields that they vary."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.accuracy import budgets
from lossproof.conformance.plan.blame import REDUCTIONS
from lossproof.conformance.plan.cases.candidates import BOTH, OTHERS
from lossproof.conformance.plan.cases.structures import EVERY_SIZE, NOTHING, WEIGHTS
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.fields import Varied
from lossproof.conformance.plan.many_devices import many_devices
from lossproof.conformance.plan.probe import (
    DTYPES,
    EVERY_PAIR,
    GRADIENT,
    MASKED_GRADIENT,
    MASKED_VALUE,
    OWN,
    OfAgreement,
    OfDeterminism,
    OfInvariances,
    OfLabels,
    OfMasking,
    OfNan,
    OfWeights,
    Probe,
)
from lossproof.conformance.plan.second_set import second_set
from lossproof.conformance.plan.soft_margin import soft_margin

MODES = {  # mode -> share of the usual number of structures; what costs a compilation comes last
    "eager": 0.3,
    "functional": 1.0,
    "vectorised": 1.0,
    "alone": 0.5,
    "stacked": 0.5,
    "traced": 0.5,
    "forward": 0.5,
    "graph": 0.5,
    "unknown_batch": 0.34,
    "reused": 1.0,
    "compiled": 0.5,
}


def conventions(cases: LossCases) -> Iterator[Probe]:
    """Yield the probes of the conventions for a loss, in the order in which they are run."""
    varied = Varied(cases)
    for topic in TOPICS:
        yield from topic(varied)


def _reductions(of: Varied) -> Iterator[Probe]:
    """CV-1 to CV-6: each reduction, and means over nothing."""
    for reduction in of.reductions:
        masks = (None, "some", *(("nothing",) if reduction in ("none", "sum") else ()))  # of a mean, CV-5 says it
        fields = {"shape": of.space["shape"], "reduction": (reduction,), "mask": masks}
        yield of.probe("reductions", REDUCTIONS[reduction], vary={**of.cases.basic, **of.options, **fields})
    for clause, check in (("CV-5", "value"), ("CV-6", "gradient")):
        means = {"reduction": of.means, **of.options}
        yield of.probe(check, clause, "no rows", options=OWN, vary={**means, "shape": ((0, 3),)})
        yield of.probe(check, clause, "all masked", options=OWN, vary={**means, "mask": ("nothing",)})


def _masks(of: Varied) -> Iterator[Probe]:
    """CV-7 to CV-9: masking is removing, and what is masked is not looked at."""
    masked = {**of.cases.basic, "shape": ((5, 4), (7, 2)), "mask": ("some",), **of.every, "weights": (None, "some")}
    yield of.probe("masking", "CV-7", options=OfMasking(own_clause=True), vary=masked)
    yield of.probe("masking", "CV-8", options=MASKED_VALUE, vary=masked | of.choices)
    yield of.probe("masking", "CV-9", options=MASKED_GRADIENT, vary=masked | of.choices)
    yield of.probe("masking", "CV-9", "half rows", 0.5, MASKED_GRADIENT, vary=masked | {"dtype": HALVES})
    captured = {"shape": ((5, 4),), "mode": ("captured",)}  # another path may mask, where no content can be looked at
    yield of.probe("masking", "CV-9", "captured", 0.34, MASKED_GRADIENT, vary=masked | captured)


def _weights(of: Varied) -> Iterator[Probe]:
    """CV-39 to CV-46: a unit counts for as much as its weight says."""
    if "weights" not in of.page.inputs:
        return
    fields = {**of.cases.basic, "shape": ((5, 4), (7, 2)), "mask": (None, "some"), **of.choices, "weights": WEIGHTS[1:]}
    sizes = fields | {"weights": (EVERY_SIZE,), "dtype": ("float64", "float32")}
    for clause, reductions in (("CV-39", ("none", "sum")), ("CV-40", of.means)):
        if of.reductions:
            yield of.probe("reductions", clause, "weights", options=OWN, vary=fields | {"reduction": reductions})
            every_size = sizes | {"reduction": reductions}
            yield of.probe("reductions", clause, "weights of every size", 0.34, OWN, vary=every_size)
    if of.means:
        everything = {**of.cases.everything, "weights": WEIGHTS[1:], "reduction": of.means}
        yield of.probe("reductions", "CV-40", "weights, everything at once", 1.0, EVERY_PAIR, vary=everything)
    else:
        yield of.probe("value", "CV-40", "weights of every size", 0.34, OWN, vary=sizes)
    if of.page.front["unit"] == "row":  # elsewhere a row is in the terms of others, too
        zeros = {**fields, "weights": WEIGHTS[2:], **of.every}
        for clause, part in (("CV-41", "value"), ("CV-42", "gradient")):
            yield of.probe("weights", clause, "rows of weight 0", options=OfWeights(part=part), vary=zeros)
    nothing = {"weights": (NOTHING,), "reduction": of.means, "mask": (None, "some")}
    yield of.probe("reductions", "CV-43", "weights", 0.5, OWN, vary=nothing)
    yield of.probe("weights", "CV-45", "wider weights", 0.5, OfWeights(wider=True), vary=fields | of.every)
    wild = {**fields, "weights": ("some",), "reduction": ("none", "mean")}
    yield of.probe("weights", "CV-46", "wild weights", 0.5, OfWeights(wild=True), vary=wild)
    captured = {"mode": ("captured",), "shape": ((5, 4),)}
    yield of.probe("weights", "CV-46", "wild weights, captured", 0.17, OfWeights(wild=True), vary=wild | captured)


def _not_finite(of: Varied) -> Iterator[Probe]:
    """CV-10 to CV-12: NaN and infinity in rows that take part."""
    mixed = {"shape": ((5, 4), (2, 3)), "dtype": of.space["dtype"], **of.choices}
    yield of.probe("nan", "CV-10", effort=2.0, vary=mixed | of.every)
    graph = {"shape": ((5, 4),), "mode": ("unknown_batch",)}  # where `not a < b` may have become `a >= b`
    yield of.probe("nan", "CV-10", "in a graph", 0.34, vary=mixed | of.every | graph)
    if of.cases.unspecified:  # otherwise one row reaches every term
        gradient, infinite = OfNan(part="gradient", left_open=True), OfNan(poison=inf, left_open=True)
        yield of.probe("nan", "CV-11", options=gradient, vary=mixed | of.every)
        yield of.probe("nan", "CV-12", effort=4.0, options=infinite, vary=mixed | {"reduction": ("none",)})


def _second_derivatives(of: Varied) -> Iterator[Probe]:
    """CV-14, where the page gives a budget for them."""
    if "kappa_second" not in of.page.front["accuracy"]:
        return
    mixed = {"shape": ((5, 4), (2, 3)), "dtype": of.space["dtype"], **of.choices}
    eps = of.space.get("eps", ())[:2]
    yield of.probe("second_order", "CV-14", vary=mixed | {"swap": (False,), "eps": eps})
    fields = {**mixed, **of.every, "mask": (None, "some"), "weights": (None, "some are 0"), "p": (2.0, 3.0)}
    yield of.probe("second_order", "CV-14", "swap", vary=fields | {"swap": (True,)})
    for placed in ("root", "floor"):
        at = {"distance": ("p_norm",), "eps_at": (placed,), "eps": (0.25, 1e-6)}
        yield of.probe("second_order", "CV-14", placed, 0.5, vary=fields | at)


def _labels(of: Varied) -> Iterator[Probe]:
    """CV-31 to CV-33: labels are names, or rows of a table."""
    if "labels" not in of.page.inputs:
        return
    yield from _rows_of_a_table(of) if of.page.inputs["labels"].get("range") else _names(of)
    yield of.probe("invariances", "CV-31", "integers", 0.34, OfInvariances(relation="integers"), vary=of.cases.basic)


def _names(of: Varied) -> Iterator[Probe]:
    named = {**of.cases.basic, **of.choices, "shape": ((5, 4), (7, 2)), **of.every, "weights": (None, "some")}
    relation = OfInvariances(relation="relabelling")
    yield of.probe("invariances", "CV-32", options=relation, vary=named)
    yield of.probe("invariances", "CV-32", "masked", 0.34, relation, vary=named | {"mask": ("some",)})
    yield of.probe("invariances", "CV-32", "half rows", 0.34, relation, vary=named | {"dtype": HALVES})
    yield of.probe(
        "invariances", "CV-31", "ends of every integer dtype", 0.34, OfInvariances(relation="ends"), vary=named
    )


def _rows_of_a_table(of: Varied) -> Iterator[Probe]:
    basic = of.cases.basic
    wrong = {**basic, "shape": ((5, 4), (7, 2)), "reduction": ("none", "mean")}
    wrong |= {n: of.space[n] for n in ("unlabelled",) if n in of.space}
    yield of.probe("labels", "CV-33", vary=wrong)
    yield of.probe("labels", "CV-33", "ends of every integer dtype", 0.34, OfLabels(ends=True), vary=wrong)
    wide, wider = _classes(of, 300), _classes(of, 2098)
    for end in ("int8", "uint8"):  # the greatest label of a byte is a row of a table of 300
        highest = OfInvariances(relation="integers", structure={"highest": end})
        yield of.probe("invariances", "CV-31", f"the highest {end}", 0.34, highest, vary={**basic, **wide})
    if "classes" in of.space:
        yield of.probe("labels", "CV-33", "one class", 0.5, vary=wrong | {"classes": (1,)})
        for part in ("value", "gradient"):
            many = {**basic, **wide, **of.every, "mask": (None, "some")}
            yield of.probe(part, of.cases.formula[part], "many classes", 0.34, vary=many)
    formula = of.cases.formula["value"]  # float16 takes the last label of 2,098 for the one before it
    yield of.probe("value", formula, "thousands of classes", 0.17, vary={**basic, **wider})
    yield of.probe("labels", "CV-33", "compiled", 0.17, vary=wrong | {"mode": ("compiled",)})


def _classes(of: Varied, count: int) -> dict[str, tuple[Any, ...]]:
    """Return the field of so many classes: rows of a table, or columns of logits."""
    return {"classes": (count,)} if "classes" in of.space else {"shape": ((5, count),)}


def _shapes_and_dtypes(of: Varied) -> Iterator[Probe]:
    """CV-24, CV-18, and tables that are wider than the rows."""
    if "..." in next(iter(of.page.inputs.values()))["shape"]:
        axes = {"shape": ((2, 3, 4), (2, 2, 2), (4,)), "mask": (None, "some"), **of.choices, **of.every}
        axes |= {"weights": (None, "some"), "soft_margin": (False, True)}
        yield of.probe("reductions", "CV-24", "batch axes", 2.0, vary=axes)
    for dtype in ("float64", "float32", *HALVES):
        yield of.probe("interface", "CV-18", dtype, 0.5, DTYPES, vary={"dtype": (dtype,), **of.every})
    if wider := of.page.tables:
        for clause, asked in (("CV-15", OfAgreement()), ("CV-16", GRADIENT), ("CV-18", DTYPES)):
            vary = {"shape": of.cases.few_rows[-1:], "dtype": of.space["dtype"], **of.every, "mask": (None, "some")}
            vary |= {"candidates": (OTHERS, BOTH)}
            yield of.probe("widths", clause, f"wider {' and '.join(wider)}", 0.34, asked, vary=vary)


def _determinism(of: Varied) -> Iterator[Probe]:
    """CV-21: the same call, the same bits."""
    mixed = {"mask": (None, "some"), "shape": ((5, 4), (2, 3)), "dtype": of.space["dtype"], **of.choices, **of.every}
    mixed |= {"weights": (None, "some")}
    yield of.probe("determinism", "CV-21", effort=2.0, vary=mixed)
    if of.cases.boundaries.gradient:
        yield of.probe("determinism", "CV-21", "ties", options=OfDeterminism(ties=True), vary={})


def _modes(of: Varied) -> Iterator[Probe]:
    """CV-22, CV-35, CV-20 and CV-36: every way in which a framework calls a function."""
    for mode, effort in MODES.items():
        if mode == "vectorised" and not of.cases.vectorised:
            continue  # a batch is no stack of calls
        if mode == "alone" and len(of.page.differentiable) == 1:
            continue
        few, p = of.cases.few_rows, (2.0, 1.0, 3.0)
        fields = {**of.choices, "p": p, "shape": few[-1:], **of.every, "mask": (None, "some")}
        fields |= {"weights": (None, "some are 0")}
        if mode == "vectorised":
            fields |= {"reduction": ("none",), "shape": few, "mask": (None,)}
        if mode in ("stacked", "unknown_batch") and of.means:  # where rows are counted, a count goes wrong
            fields |= {"reduction": of.means}
        yield of.probe("compiled", "CV-22", mode, effort, vary=fields | {"mode": (mode,)})
    rows = {"shape": ((5, 4), (2, 3), (7, 2)), "mask": of.space["mask"], "weights": (None, "some")}
    yield of.probe("compiled", "CV-35", vary={"mode": ("strided",), **rows, **of.choices, **of.every})
    ambient = {"mode": ("ambient",), "dtype": ("float32", "float16"), **of.choices, "p": (2.0, 1.0, 3.0)}
    yield of.probe("compiled", "CV-20", "ambient", vary=ambient)
    weighed = {
        "weights": ("some",),
        "mask": (None, "some"),
        "reduction": tuple(r for r in of.reductions if r != "none"),
    }
    yield of.probe("compiled", "CV-20", "ambient, weighed", 0.5, vary=ambient | weighed)
    strict = {**of.choices, **of.every, "mode": ("strict",), "mask": (None, "some"), "p": (2.0, inf, 1.0, 3.0)}
    yield of.probe("compiled", "CV-36", "strict", 0.5, vary=strict)


TOPICS = (
    _reductions,
    _masks,
    _weights,
    _not_finite,
    _second_derivatives,
    _labels,
    budgets,
    _shapes_and_dtypes,
    _determinism,
    _modes,
    soft_margin,
    second_set,
    many_devices,
)
