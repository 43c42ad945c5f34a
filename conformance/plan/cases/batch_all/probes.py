"""The probes of the batch-all triplet loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.batch_all.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.batch_all.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.cases.pairs import EVERY_SHAPE, mined
from lossproof.conformance.plan.cases.pairs_probes import blocks, extreme
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfInvariances, Probe

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "BA-1", vary=_vary(shape=EVERY_SHAPE, reduction=("none", "sum")))
    yield Probe(LOSS, "value", "BA-2", vary=_vary(identities=SPACE["identities"], mask=(None, "some")), options=OWN)
    yield Probe(LOSS, "value", "BA-3", vary=_vary(reduction=("mean",), mask=(None, "some")), options=OWN)
    yield Probe(LOSS, "value", "BA-4", vary=_vary(reduction=("mean_nonzero",), mask=(None, "some")), options=OWN)
    yield Probe(LOSS, "value", "BA-8", vary=BASIC, options=DEFAULTS)
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
    yield Probe(LOSS, "value", "BA-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "BA-5", vary=_vary(distance=SPACE["distance"]), effort=1.5)
    yield Probe(LOSS, "gradient", "BA-5", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    yield from extreme(LOSS, "BA-1", BASIC)
    yield from blocks(LOSS, "BA-1", BASIC, (131, 2), dtype=("float64",), pairwise=("direct",))
    yield Probe(LOSS, "interface", "CV-23", vary={"margin": (0.0, 64.0), "shape": ((7, 2), (0, 3), (1, 3))})
    yield Probe(LOSS, "nan", "CV-10", "singletons", vary=_vary(identities=("few", "apart")))
    rows = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "reduction": ("none", "mean")}
    yield Probe(LOSS, "invariances", "BA-1", "permuted rows", vary=rows, options=OfInvariances(relation="permutation"))
    yield from mined(LOSS, BASIC, SPACE)
