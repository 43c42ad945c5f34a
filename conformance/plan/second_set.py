"""The probes of a second set of rows: PW-9 to PW-14, and what the conventions ask, asked of it too."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.cases.candidates import (
    AS_MANY,
    AS_MANY_MASKED,
    BOTH,
    CANDIDATES,
    CROWD,
    EMPTY,
    FEWER,
    INDEXED,
    ITSELF,
    MASKED,
    OTHERS,
)
from lossproof.conformance.plan.fields import Fields, Varied
from lossproof.conformance.plan.modes import in_each_mode
from lossproof.conformance.plan.probe import (
    DTYPES,
    EVERY_PAIR,
    GRADIENT,
    LARGE,
    LARGE_AND_OWN,
    LARGE_GRADIENT,
    MASKED_GRADIENT,
    MASKED_VALUE,
    OWN,
    OfInvariances,
    OfNan,
    OfSecondSet,
    Probe,
)


def second_set(of: Varied) -> Iterator[Probe]:
    """Yield the probes of a loss that takes a second set."""
    if "candidates" not in of.page.inputs:
        return
    shapes = {"shape": ((5, 4), (7, 2), (8, 3)), **of.every, "mask": (None, "some")}
    fields = {**of.cases.basic, **shapes, **of.choices}
    yield from _meaning(of, fields)
    yield from _accuracy(of, fields)
    masked = {**fields, "shape": ((5, 4), (7, 2)), "candidates": (MASKED, BOTH)}
    yield of.probe("masking", "CV-8", "second set", options=MASKED_VALUE, vary=masked)
    yield of.probe("masking", "CV-9", "second set", options=MASKED_GRADIENT, vary=masked)
    labels = {**of.cases.basic, "shape": ((5, 4), (7, 2)), **of.every, "candidates": CANDIDATES[1:]}
    for clause, relation in (("CV-32", "relabelling"), ("CV-31", "ends")):
        asked = OfInvariances(relation=relation)
        yield of.probe("invariances", clause, "second set", 0.34, asked, vary=labels)
    yield of.probe("second_set", "PW-13", "two integer dtypes", 0.34, OfSecondSet(dtypes=True), vary=labels)
    yield of.probe("determinism", "CV-21", "second set", vary=fields | {"candidates": (OTHERS, BOTH)})
    ambient = {"mode": ("ambient",), "dtype": ("float32",), "candidates": CANDIDATES[1:]}
    yield of.probe("compiled", "CV-20", "ambient, second set", 0.5, vary=fields | ambient)
    yield from in_each_mode(of, "second set", fields | {"shape": ((5, 4),), "candidates": (BOTH, MASKED)})


def _meaning(of: Varied, fields: Fields) -> Iterator[Probe]:
    """PW-9 to PW-14."""
    yield of.probe("value", "PW-9", options=OWN, vary=fields | {"candidates": (OTHERS, MASKED)})
    for kind in (AS_MANY, AS_MANY_MASKED):  # a candidate and the anchor of its number are strangers
        same = kind.replace("as many", "as many candidates as rows")
        yield of.probe("value", "PW-9", same, 0.5, OWN, vary=fields | {"candidates": (kind,)})
        yield of.probe("gradient", "PW-11", same, 0.34, OWN, vary=fields | {"candidates": (kind,)})
    rows = {"candidates": (ITSELF,), "distance": ("squared_euclidean",), "identities": ("apart", "few")}
    yield of.probe("value", "PW-9", "the rows themselves", 0.5, OWN, vary=fields | rows)  # the root of 0 is a kink
    yield of.probe("value", "PW-9", "fewer candidates than rows", 0.5, OWN, vary=fields | {"candidates": (FEWER,)})
    crowd = {"candidates": (CROWD,), "shape": ((3, 2),), "identities": ("many rows",)}
    yield of.probe("value", "PW-9", "a crowd of candidates", 0.34, LARGE_AND_OWN, vary=fields | crowd)
    nobody = {**of.choices, "reduction": of.means, "shape": ((0, 3),), "candidates": (OTHERS, MASKED)}
    yield of.probe("value", "CV-5", "second set, no rows", 0.17, OWN, vary=nobody)
    yield of.probe("value", "PW-10", options=OWN, vary=fields | {"candidates": (INDEXED, BOTH)})
    of_masked = fields | {"mask": ("some",), "candidates": (INDEXED, BOTH)}
    yield of.probe("value", "PW-10", "masked anchors", options=OWN, vary=of_masked)
    if "max_positives" in of.page.parameters:
        crowd = fields | {"identities": ("one", "many rows"), "candidates": (OTHERS, MASKED)}
        yield of.probe("value", "PW-8", "more candidates than rows", 0.5, OWN, vary=crowd)
    weighed = fields | {"weights": ("some are 0", "some")}
    yield of.probe("value", "PW-9", "weights", 0.67, OWN, vary=weighed | {"candidates": CANDIDATES[1:]})
    yield of.probe("value", "PW-13", "no candidates", 0.5, OWN, vary=fields | {"candidates": (EMPTY,)})
    yield of.probe("gradient", "PW-11", "no candidates", 0.34, OWN, vary=fields | {"candidates": (EMPTY,)})
    nobody = fields | {"mask": ("nothing",), "candidates": (OTHERS, MASKED), "reduction": of.means}
    yield of.probe("value", "CV-5", "second set, nothing takes part", 0.34, OWN, vary=nobody)
    yield of.probe("gradient", "CV-6", "second set, nothing takes part", 0.17, OWN, vary=nobody)
    yield of.probe("gradient", "PW-11", "", 1.5, GRADIENT, vary=fields | {"candidates": CANDIDATES[1:]})
    everything = of.cases.everything | {"candidates": CANDIDATES[1:]}
    for check in ("value", "gradient"):
        clause = of.cases.formula[check]
        yield of.probe(check, clause, "everything at once, second set", 2.0, EVERY_PAIR, vary=everything)
    poisoned = fields | {"candidates": CANDIDATES[1:], "identities": ("few", "many rows", "one")}
    yield of.probe("nan", "PW-12", options=OfNan(), vary=poisoned)
    yield of.probe("nan", "PW-12", "in a candidate", options=OfNan(of="candidates"), vary=poisoned)
    for row in ("", "candidates"):
        gradient = OfNan(part="gradient", left_open=True, of=row)
        yield of.probe("nan", "CV-11", f"second set{', in a candidate' * bool(row)}", 0.67, gradient, vary=poisoned)
    wild = fields | {"candidates": (INDEXED, BOTH), "reduction": ("none", "mean")}
    yield of.probe("second_set", "PW-14", vary=wild)
    yield of.probe("second_set", "PW-14", "captured", 0.17, vary=wild | {"mode": ("captured",)})


def _accuracy(of: Varied, fields: Fields) -> Iterator[Probe]:
    """CV-15 to CV-18 and PW-6: the budgets are those of the plain call."""
    whole = {"candidates": (BOTH, OTHERS)}
    sharp = {**of.cases.basic, **of.choices, "margin": (1e-3, 0.2), "shape": ((2, 3), (5, 4)), **whole}
    yield of.probe("precision", "CV-15", "second set", vary=sharp)
    yield of.probe("precision", "CV-16", "second set", options=GRADIENT, vary=sharp)
    if "pairwise" in of.space or "floor" in of.space:  # distances from differences of rows, or as good
        far = {
            **fields,
            "offset": (100.0,),
            "scale": (-10, -7),
            "distance": ("euclidean", "squared_euclidean"),
            **whole,
        }
        clause = "PW-6" if "pairwise" in of.space else "BH-5"
        yield of.probe("precision", clause, "second set", options=OWN, vary=far)
        yield of.probe("gradient", clause.replace("6", "7"), "second set", options=OWN, vary=far)
    for half in HALVES:
        yield of.probe("precision", "CV-17", f"{half}, second set", vary=sharp | {"dtype": (half,)})
        summed = {"dtype": (half,), "shape": ((8, 3), (12, 5)), **of.every}  # a candidate is in the terms of many
        yield of.probe("precision", "CV-16", f"{half}, second set", 0.5, GRADIENT, vary=sharp | summed)
    many = {**of.cases.basic, "shape": (of.cases.many,), "reduction": ("sum", "mean"), "identities": ("few",), **whole}
    yield of.probe("precision", "CV-15", "many rows, second set", 0.17, LARGE, vary=many)
    yield of.probe("precision", "CV-16", "many rows, second set", 0.17, LARGE_GRADIENT, vary=many)
    yield of.probe("interface", "CV-18", "second set", 0.5, DTYPES, vary={**of.every, **whole, "dtype": HALVES})
