"""The probes of the triplet margin loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.triplet_margin.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.triplet_margin.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfErrors, OfInvariances, OfNan, Probe

GENERAL_P = (3.0, 1.5, 7.0)
_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "TM-1", vary=BASIC)
    yield Probe(LOSS, "value", "TM-4", vary=_vary(eps=(0.25,), swap=(False, True), p=(2.0, 1.0)))
    yield Probe(LOSS, "value", "TM-5", vary=_vary(swap=(True,), distance=SPACE["distance"]))
    soft = _vary(soft_margin=(True,), swap=(False, True), reduction=SPACE["reduction"])
    yield Probe(LOSS, "value", "TM-11", vary=soft)
    yield Probe(
        LOSS,
        "value",
        "TM-9",
        vary={"shape": SPACE["shape"]},
        options=DEFAULTS,
    )
    yield Probe(LOSS, "value", "DI-1", vary=_vary(p=GENERAL_P))
    yield Probe(LOSS, "value", "DI-2", vary=_vary(p=(1.0,)))
    yield Probe(LOSS, "value", "DI-3", vary=_vary(p=(inf,), eps=(0.0, 0.25)))
    yield Probe(LOSS, "value", "DI-4", vary=_vary(eps=(1e-6, 0.25), p=(2.0, 1.0, 3.0), scale=(0, -20)))
    yield Probe(LOSS, "value", "DI-5", vary=_vary(eps=(0.25, 1e-6), eps_at=("root",), p=(2.0, 1.0, 3.0)))
    yield Probe(LOSS, "value", "DI-6", vary=_vary(eps=(0.25, 4.0), eps_at=("floor",), p=(2.0, 1.0, 3.0)))
    yield from CASES.each("value", "distance", ("squared_euclidean", "cosine", "euclidean"))
    swapped = _vary(swap=(True,), p=SPACE["p"], eps=SPACE["eps"], eps_at=SPACE["eps_at"])
    yield Probe(LOSS, "value", "TM-4", "of every kind", vary=swapped, effort=2.0)
    yield Probe(LOSS, "value", "TM-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "TM-7", vary=_vary(swap=(False, True), distance=SPACE["distance"]), effort=1.5)
    of_each = _vary(soft_margin=(True,), swap=(False, True), distance=SPACE["distance"])
    yield Probe(LOSS, "gradient", "TM-7", "soft margin", vary=of_each)
    yield Probe(
        LOSS,
        "gradient",
        "DI-11",
        vary=_vary(p=SPACE["p"], eps=SPACE["eps"], eps_at=SPACE["eps_at"]),
        effort=3.0,
    )
    floor = _vary(eps=(0.25, 4.0), eps_at=("floor",), p=(2.0, 1.0, 3.0))
    yield Probe(LOSS, "gradient", "DI-11", "floor", vary=floor, effort=3.0)
    yield from CASES.each("gradient", "distance", ("squared_euclidean", "cosine"))
    yield Probe(LOSS, "gradient", "TM-7", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    yield Probe(
        LOSS,
        "precision",
        "DI-19",
        vary={"p": GENERAL_P, "scale": (-20, -10, 10, -40, 40), "dtype": ("float32", "float64")},
        effort=4.0,
    )
    yield Probe(
        LOSS,
        "interface",
        "TM-2",
        vary={"shape": ((3,), (2, 2, 3), (0, 3), (2, 1, 2))},
        options=OWN,
        effort=3.0,
    )
    yield Probe(
        LOSS,
        "interface",
        "TM-3",
        vary={"margin": (0.0,), "dtype": SPACE["dtype"]},
        options=OWN,
    )
    yield Probe(
        LOSS,
        "interface",
        "CV-23",
        vary={
            "shape": ((1, 1), (2, 3)),
            "p": (1.0, 1.25, inf),
            "margin": (64.0, 1e-3),
            "swap": (False, True),
        },
        effort=4.0,
    )
    yield Probe(
        LOSS,
        "invariances",
        "TM-8",
        vary={"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "reduction": ("none", "mean")},
        options=OfInvariances(relation="permutation"),
    )
    yield Probe(
        LOSS,
        "invariances",
        "TM-8",
        "other rows",
        vary={"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "distance": SPACE["distance"]},
        options=OfInvariances(relation="other rows"),
    )
    yield Probe(
        LOSS,
        "invariances",
        "TM-5",
        vary=_vary(p=(2.0, 1.0), distance=SPACE["distance"]),
        options=OfInvariances(relation="swap"),
    )
    yield Probe(LOSS, "nan", "CV-10", "largest coordinate", vary={"p": (inf,), "shape": ((1, 16), (5, 4))})
    yield Probe(
        LOSS,
        "nan",
        "CV-10",
        "zero rows",
        vary={"distance": ("cosine",), "shape": ((2, 3), (5, 4))},
        options=OfNan(against_zero=True),
    )
    bent = {"swap": (False, True), "distance": SPACE["distance"], "p": (2.0, 3.0), "reduction": ("none", "mean")}
    yield Probe(LOSS, "second_order", "CV-14", "soft margin", vary=_vary(soft_margin=(True,), **bent))
    yield from distances.probes(LOSS, SPACE, "TM-2")
    both = OfErrors(parameters={"soft_margin": True, "margin": 0.5})
    yield Probe(LOSS, "errors", "TM-11", "margin with soft_margin", options=both)
