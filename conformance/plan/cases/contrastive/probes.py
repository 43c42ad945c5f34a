"""The probes of the contrastive loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from lossproof.conformance.plan.cases import distances
from lossproof.conformance.plan.cases.contrastive.boundaries import GRADIENT_BOUNDARIES, VALUE_BOUNDARIES
from lossproof.conformance.plan.cases.contrastive.space import BASIC, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, OWN, OfInvariances, Probe

EVERYTHING = {name: values for name, values in SPACE.items() if name not in ("scale", "offset", "mode", "order")}


def _vary(**fields: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    return {**BASIC, **fields}


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "CO-1", vary=_vary(pairs=("similar",), scale=(0, 12)), options=OWN)
    yield Probe(LOSS, "value", "CO-2", vary=_vary(pairs=("dissimilar",)), options=OWN)
    yield Probe(LOSS, "value", "CO-3", vary=_vary(factor=(1.0, 0.3, 2.0)))
    yield Probe(LOSS, "value", "CO-5", vary=BASIC, options=DEFAULTS)
    yield Probe(LOSS, "value", "DI-1", vary=_vary(p=(3.0, 1.5, 7.0)))
    for clause, p in (("DI-2", 1.0), ("DI-3", inf)):
        yield Probe(LOSS, "value", clause, vary=_vary(p=(p,)))
    for clause, placed in (("DI-4", "difference"), ("DI-5", "root"), ("DI-6", "floor")):
        vary = _vary(eps=(0.25, 1e-6), eps_at=(placed,), p=(2.0, 1.0, 3.0))
        yield Probe(LOSS, "value", clause, vary=vary)
    for clause, distance in (("DI-7", "squared_euclidean"), ("DI-8", "cosine"), ("DI-9", "euclidean")):
        yield Probe(LOSS, "value", clause, vary=_vary(distance=(distance,)))
    yield Probe(LOSS, "value", "CO-1", "everything at once", vary=EVERYTHING, effort=2.0)
    yield Probe(LOSS, "gradient", "CO-7", vary=_vary(distance=SPACE["distance"]), effort=1.5)
    yield Probe(LOSS, "gradient", "DI-11", vary=_vary(p=SPACE["p"], eps=SPACE["eps"], eps_at=SPACE["eps_at"]))
    for clause, distance in (("DI-12", "squared_euclidean"), ("DI-13", "cosine")):
        yield Probe(LOSS, "gradient", clause, vary=_vary(distance=(distance,)))
    yield Probe(LOSS, "gradient", "CO-7", "everything at once", vary=EVERYTHING, effort=2.0)
    for clause in (*VALUE_BOUNDARIES, *GRADIENT_BOUNDARIES):
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
