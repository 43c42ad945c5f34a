"""The probes of the circle loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.circle.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.circle.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, LARGE_AND_OWN, OWN, OfInvariances, Probe

EMPTY_SETS = ("one", "apart", "many rows")


_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "CI-1", vary=BASIC, options=OWN)
    yield Probe(LOSS, "value", "CI-2", vary=_vary(identities=("few", "many rows")), options=OWN)
    yield Probe(LOSS, "value", "CI-3", vary=_vary(scale=(-20, 20, 3)), options=OWN)
    tiny = _vary(scale=(-40, 40))
    yield Probe(LOSS, "value", "CI-3", "tiny and huge rows", vary=tiny, options=OWN, effort=0.67)
    yield Probe(LOSS, "value", "CI-4", vary=_vary(margin=(-0.5, 0.0, -0.2, 0.25), gamma=(2.0, 8.0)), options=OWN)
    yield Probe(LOSS, "value", "CI-5", vary=_vary(gamma=(2.0, 1.0, 0.25)), options=OWN)
    yield Probe(LOSS, "value", "CI-6", vary=_vary(identities=EMPTY_SETS), options=OWN)
    yield Probe(LOSS, "value", "CI-7", vary=_vary(gamma=(256.0, 8192.0)), options=OWN)
    counted = _vary(reduction=("mean_nonzero", "mean"), gamma=(4096.0, 1024.0, 8.0), shape=((5, 4), (8, 3), (12, 5)))
    yield Probe(LOSS, "value", "CI-8", vary=counted | {"mask": (None, "some")}, options=OWN)
    yield Probe(LOSS, "value", "CI-14", vary={"shape": SPACE["shape"]}, options=DEFAULTS)
    yield Probe(LOSS, "value", "CI-1", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "CI-10", vary=BASIC, options=OWN, effort=1.5)
    yield Probe(
        LOSS,
        "gradient",
        "CI-11",
        vary=_vary(detach_weights=(False,), reduction=("none", "sum", "mean")),
        options=OWN,
        effort=1.5,
    )
    many = _vary(shape=((131, 3),), detach_weights=(False,))
    yield Probe(LOSS, "gradient", "CI-11", "many rows", vary=many, options=LARGE_AND_OWN, effort=0.17)
    yield Probe(LOSS, "gradient", "CI-12", vary=_vary(scale=(-20, 20, 3), gamma=(2.0, 8.0, 256.0)), options=OWN)
    yield Probe(LOSS, "gradient", "CI-13", vary=_vary(identities=EMPTY_SETS, gamma=(8.0, 256.0)), options=OWN)
    yield Probe(LOSS, "gradient", "CI-10", "everything at once", vary=CASES.everything, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    holes = {"identities": ("one", "apart", "few"), "shape": ((5, 4), (1, 3)), "dtype": SPACE["dtype"]}
    yield Probe(LOSS, "nan", "CI-9", vary=holes | {"reduction": ("none", "mean", "mean_nonzero")})
    permuted = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "reduction": ("none", "mean")}
    yield Probe(LOSS, "invariances", "CI-15", vary=permuted, options=OfInvariances(relation="permutation"))
    accepted = {"margin": (-1.0, 1.0), "gamma": (0.0, 1e4), "shape": ((1, 1), (5, 4)), "detach_weights": (True, False)}
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
