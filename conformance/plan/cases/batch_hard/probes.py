"""The probes of the batch-hard triplet loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.batch_hard.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.batch_hard.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.cases.pairs import EVERY_SHAPE
from lossproof.conformance.plan.cases.pairs_probes import blocks, extreme
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, LARGE_AND_OWN, OWN, OfErrors, OfInvariances, Probe

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "BH-1", vary=_vary(shape=EVERY_SHAPE))
    yield Probe(
        LOSS, "value", "BH-2", vary=_vary(identities=("apart", "one", "few"), shape=((5, 4), (3, 2))), options=OWN
    )
    yield Probe(LOSS, "value", "BH-3", vary=_vary(include_self=(True,), identities=("few", "apart")))
    yield Probe(LOSS, "value", "BH-4", vary=_vary(soft_margin=(True,), reduction=SPACE["reduction"]))
    yield Probe(LOSS, "value", "BH-6", vary=BASIC, options=DEFAULTS)
    yield Probe(LOSS, "value", "PW-1", vary=_vary(distance=SPACE["distance"]), options=OWN)
    yield Probe(LOSS, "value", "PW-2", vary=_vary(identities=SPACE["identities"], mask=(None, "some")), options=OWN)
    floored = _vary(floor=(0.25, 1.0, 4.0), distance=("euclidean", "squared_euclidean"))
    yield Probe(LOSS, "value", "PW-3", vary=floored, options=OWN)
    yield from CASES.each("value", "distance", ("squared_euclidean", "cosine", "euclidean"))
    yield Probe(LOSS, "value", "BH-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "BH-7", vary=_vary(distance=SPACE["distance"]), effort=1.5)
    yield Probe(LOSS, "gradient", "BH-7", "soft margin", vary=_vary(soft_margin=(True,), distance=SPACE["distance"]))
    yield Probe(LOSS, "gradient", "BH-10", vary=_vary(include_self=(True,), identities=("few", "apart")), options=OWN)
    yield Probe(LOSS, "gradient", "PW-4", vary=floored, options=OWN)
    yield Probe(LOSS, "gradient", "BH-7", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    collapsed = _vary(offset=(100.0,), scale=(-10, -7), distance=SPACE["distance"][:2], shape=((7, 2), (8, 3)))
    yield Probe(LOSS, "precision", "BH-5", vary=collapsed, options=OWN)
    yield Probe(LOSS, "gradient", "BH-5", "gradient", vary=collapsed, options=OWN)
    yield from extreme(LOSS, "BH-1", BASIC)
    yield from blocks(LOSS, "BH-1", BASIC, (150, 2))
    far = _vary(shape=((70, 2),), offset=(100.0,), dtype=("float32",), distance=("squared_euclidean",))
    yield Probe(LOSS, "precision", "BH-5", "many rows", vary=far, options=LARGE_AND_OWN, effort=0.17)
    yield Probe(LOSS, "interface", "CV-23", vary={"margin": (0.0, 64.0), "shape": ((7, 2), (0, 3), (1, 3))})
    yield Probe(LOSS, "nan", "CV-10", "singletons", vary=_vary(identities=("few", "apart"), include_self=(False, True)))
    rows = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "reduction": ("none", "mean")}
    yield Probe(LOSS, "invariances", "BH-1", "permuted rows", vary=rows, options=OfInvariances(relation="permutation"))
    floored = _vary(floor=(0.25,), mask=("some",), distance=SPACE["distance"][:2])
    yield Probe(LOSS, "determinism", "CV-21", "floor and mask", vary=floored, effort=0.34)
    for clause, label, parameters in (
        ("PW-3", "floor with cosine", {"distance": "cosine", "floor": 0.5}),
        ("BH-4", "margin with soft_margin", {"soft_margin": True, "margin": 1.0}),
    ):
        yield Probe(LOSS, "errors", clause, label, options=OfErrors(parameters=parameters))
