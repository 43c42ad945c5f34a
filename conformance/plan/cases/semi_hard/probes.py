"""The probes of the semi-hard triplet loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.pairs import EVERY_SHAPE, mined
from lossproof.conformance.plan.cases.pairs_probes import blocks, extreme
from lossproof.conformance.plan.cases.semi_hard.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.semi_hard.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfErrors, OfInvariances, Probe

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "SH-1", vary=_vary(shape=EVERY_SHAPE))
    yield Probe(
        LOSS, "value", "SH-3", vary=_vary(shape=((4, 1), (5, 1))), options=OWN
    )  # few rows: often none is farther
    yield Probe(LOSS, "value", "SH-4", vary=_vary(identities=SPACE["identities"], reduction=("mean",)), options=OWN)
    yield Probe(LOSS, "value", "SH-5", vary=_vary(margin=(0.0, 0.125), reduction=SPACE["reduction"]), options=OWN)
    yield Probe(LOSS, "value", "SH-12", vary=_vary(soft_margin=(True,), reduction=SPACE["reduction"]))
    yield Probe(LOSS, "value", "SH-6", vary=BASIC, options=DEFAULTS)
    yield Probe(
        LOSS,
        "value",
        "PW-1",
        vary=_vary(distance=SPACE["distance"], pairwise=SPACE["pairwise"]),
        options=OWN,
        effort=2.0,
    )
    yield Probe(LOSS, "value", "PW-2", vary=_vary(identities=SPACE["identities"], mask=(None, "some")), options=OWN)
    yield from CASES.each("value", "distance", ("squared_euclidean", "cosine", "euclidean"))
    yield Probe(LOSS, "value", "SH-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "SH-7", vary=_vary(distance=SPACE["distance"]), effort=1.5)
    soft = _vary(soft_margin=(True,), distance=SPACE["distance"], pairwise=SPACE["pairwise"])
    yield Probe(LOSS, "gradient", "SH-7", "soft margin", vary=soft)
    yield Probe(LOSS, "gradient", "SH-7", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    yield from extreme(LOSS, "SH-1", BASIC)
    yield from blocks(LOSS, "SH-1", BASIC, (131, 2), dtype=("float64",), pairwise=("direct",))
    yield Probe(LOSS, "interface", "CV-23", vary={"margin": (0.0, 64.0), "shape": ((7, 2), (0, 3), (1, 3))})
    rows = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "reduction": ("none", "mean")}
    yield Probe(LOSS, "invariances", "SH-1", "permuted rows", vary=rows, options=OfInvariances(relation="permutation"))
    yield from mined(LOSS, BASIC, SPACE)
    both = OfErrors(parameters={"soft_margin": True, "margin": 0.5})
    yield Probe(LOSS, "errors", "SH-12", "margin with soft_margin", options=both)
