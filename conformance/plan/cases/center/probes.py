"""The probes of the center loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from lossproof.conformance.plan.cases.center.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.center.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfErrors, OfInvariances, Probe

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "CN-1", vary=_vary(factor=SPACE["factor"]), options=OWN)
    bounds = {"floor": (0.75, 1e-12), "ceiling": (2.5, 1e12), "factor": SPACE["factor"]}
    yield Probe(LOSS, "value", "CN-2", vary=_vary(**bounds))
    yield Probe(LOSS, "value", "CN-3", vary=_vary(floor=(0.75,), classes=(6, 3)), options=OWN)
    yield Probe(LOSS, "value", "CN-4", vary=BASIC, options=DEFAULTS)
    far = {"offset": (100.0, 1000.0), "shape": ((5, 4), (12, 5)), "dtype": SPACE["dtype"]}
    yield Probe(LOSS, "precision", "CN-5", vary=far, options=OWN)
    yield Probe(LOSS, "value", "CN-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    one = {"shape": ((1, 3), (3, 2)), "identities": ("apart",), "classes": (3,), "factor": SPACE["factor"]}
    yield Probe(LOSS, "gradient", "CN-7", vary=one, options=OWN)
    yield Probe(LOSS, "gradient", "CN-8", vary=_vary(identities=("few", "one", "many rows")), options=OWN)
    masked = _vary(mask=("some",), shape=((5, 4),))
    yield Probe(LOSS, "gradient", "CN-8", "some masked", vary=masked, options=OWN, effort=0.34)
    yield Probe(LOSS, "gradient", "CN-9", vary=_vary(**bounds))
    yield Probe(LOSS, "gradient", "CN-7", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    scales = {"scale": (-20, -10, 10, 20), "dtype": SPACE["dtype"], "floor": (0.0, 0.75)}
    yield Probe(LOSS, "precision", "CV-15", "scales", vary=scales)
    accepted = {
        "shape": ((0, 3), (1, 1), (3, 2)),
        "factor": (0.0, 3.0),
        "floor": (0.0, 2.0),
        "ceiling": (1e300, 2.0, inf),
        "dtype": SPACE["dtype"],
    }
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
    rows = {"shape": ((5, 4), (7, 2)), "reduction": ("none", "mean")}
    yield Probe(LOSS, "invariances", "CN-1", "permutation", vary=rows, options=OfInvariances(relation="permutation"))
    crossed = OfErrors(parameters={"floor": 2.0, "ceiling": 1.0})
    yield Probe(LOSS, "errors", "CN-10", "ceiling below floor", options=crossed)
