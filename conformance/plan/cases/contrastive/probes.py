"""The probes of the contrastive loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.contrastive.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.contrastive.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfInvariances, Probe

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "CO-1", vary=_vary(pairs=("similar",), scale=(0, 12)), options=OWN)
    yield Probe(LOSS, "value", "CO-2", vary=_vary(pairs=("dissimilar",)), options=OWN)
    yield Probe(LOSS, "value", "CO-3", vary=_vary(factor=(1.0, 0.3, 2.0)))
    yield Probe(LOSS, "value", "CO-5", vary=BASIC, options=DEFAULTS)
    yield Probe(LOSS, "value", "DI-1", vary=_vary(p=(3.0, 1.5, 7.0)))
    yield from CASES.each("value", "p", (1.0, inf))
    yield from CASES.each("value", "eps_at", SPACE["eps_at"], eps=(0.25, 1e-6), p=(2.0, 1.0, 3.0))
    yield from CASES.each("value", "distance", ("squared_euclidean", "cosine", "euclidean"))
    yield Probe(LOSS, "value", "CO-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "CO-7", vary=_vary(distance=SPACE["distance"]), effort=1.5)
    yield Probe(LOSS, "gradient", "DI-11", vary=_vary(p=SPACE["p"], eps=SPACE["eps"], eps_at=SPACE["eps_at"]))
    yield from CASES.each("gradient", "distance", ("squared_euclidean", "cosine"))
    yield Probe(LOSS, "gradient", "CO-7", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    scales = {"p": (3.0, 1.5, 7.0), "scale": (-20, -10, 10, 20), "dtype": SPACE["dtype"], "pairs": SPACE["pairs"]}
    yield Probe(LOSS, "precision", "DI-19", vary=scales)
    yield Probe(LOSS, "interface", "CO-10", vary={"margin": (0.0,), "dtype": SPACE["dtype"]}, options=OWN)
    accepted = {"shape": ((3,), (2, 2, 3), (0, 3)), "p": (1.0, 1.25, inf), "factor": (0.0, 3.0)}
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
    rows = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "pairs": ("both",)}
    for label, relation, reductions in (("", "permutation", ("none", "mean")), ("other rows", "other rows", ("none",))):
        vary = {**rows, "reduction": reductions}
        yield Probe(LOSS, "invariances", "CO-4", label, vary=vary, options=OfInvariances(relation=relation))
    yield from distances.probes(LOSS, SPACE, "CV-23")
