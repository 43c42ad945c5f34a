"""The probes of the OIM loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.oim.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.oim.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, LARGE_AND_OWN, OWN, OfInvariances, Probe

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "OI-1", vary=_vary(temperature=SPACE["temperature"], queue=(4, 2)), options=OWN)
    yield Probe(LOSS, "value", "OI-2", vary=_vary(memory=("empty rows",)), options=OWN)
    strangers = {"strangers": ("some", "all"), "reduction": SPACE["reduction"]}
    yield Probe(LOSS, "value", "OI-3", vary=_vary(**strangers), options=OWN)
    yield Probe(LOSS, "value", "OI-4", vary=_vary(unlabelled=(99,), strangers=("some", "none")), options=OWN)
    long = _vary(queue=(700,), classes=(600,), shape=((5, 4),), strangers=("some",))
    known = LARGE_AND_OWN
    yield Probe(LOSS, "value", "OI-1", "many rows of memory", vary=long, options=known, effort=0.17)
    yield Probe(LOSS, "gradient", "OI-8", "many rows of memory", vary=long, options=known, effort=0.17)
    yield Probe(LOSS, "value", "OI-6", vary=_vary(queue=(0,)), options=OWN)
    default = DEFAULTS
    yield Probe(LOSS, "value", "OI-7", vary=BASIC | {"strangers": ("some",)}, options=default)
    yield Probe(LOSS, "value", "OI-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "OI-8", vary=_vary(strangers=("some", "none"), queue=SPACE["queue"]), options=OWN)
    yield Probe(LOSS, "gradient", "OI-8", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    scales = {"scale": (-20, -10, 10, 20), "dtype": SPACE["dtype"]}
    yield Probe(LOSS, "precision", "CV-15", "scales", vary=scales)
    accepted = {"shape": ((0, 3), (1, 1), (3, 2)), "temperature": (0.01, 100.0), "queue": SPACE["queue"]}
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
    rows = {"shape": ((5, 4), (7, 2)), "reduction": ("none", "mean"), "strangers": ("some",)}
    yield Probe(LOSS, "invariances", "OI-1", "permutation", vary=rows, options=OfInvariances(relation="permutation"))
    for label, masks in (("strangers", (None,)), ("strangers and a mask", ("some",))):
        vary = _vary(unlabelled=(99,), strangers=("some",), mask=masks, reduction=("none", "mean"))
        yield Probe(LOSS, "determinism", "CV-21", label, vary=vary, effort=0.34)
