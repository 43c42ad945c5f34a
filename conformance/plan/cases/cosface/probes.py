"""The probes of the CosFace loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.cosface.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.cosface.space import CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfInvariances, Probe

EVERYTHING = {name: values for name, values in SPACE.items() if name not in ("size", "mode", "order", "angle")}
EVERYTHING["shape"] = SPACE["shape"][1:3]

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "CF-1", vary=_vary(scale=(*SPACE["scale"], 0.0)))
    yield Probe(LOSS, "value", "CF-2", vary=_vary(size=(-6, 6)), options=OWN)
    tiny = _vary(size=(-40, 40))
    yield Probe(LOSS, "value", "CF-2", "tiny and huge rows", vary=tiny, options=OWN, effort=0.5)
    yield Probe(LOSS, "value", "CF-3", vary=_vary(margin=(0.5, 3.0, 0.0, 0.1)), options=OWN)
    sure = _vary(angle=("sure",), margin=(0.0, 0.1), scale=(64.0,), shape=((5, 4), (8, 3)))
    yield Probe(LOSS, "precision", "CV-15", "a sure row", vary=sure)
    single = {"shape": ((5, 2),), "dtype": SPACE["dtype"], "classes": (1,), "scale": (64.0, 1.0)}
    yield Probe(LOSS, "value", "CF-5", vary=single, options=OWN)
    yield Probe(LOSS, "gradient", "CF-5", vary=single, options=OWN)
    yield Probe(LOSS, "gradient", "CF-6", vary=_vary(scale=SPACE["scale"], margin=SPACE["margin"]), effort=1.5)
    yield Probe(LOSS, "gradient", "CF-7", vary=_vary(angle=("parallel",), margin=(0.5, 3.0)))
    yield Probe(LOSS, "value", "CF-10", vary={"shape": SPACE["shape"][:2]}, options=DEFAULTS)
    yield Probe(LOSS, "value", "CF-1", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "CF-6", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    accepted = {"shape": ((1, 2), (0, 3)), "margin": (0.0, 3.0, 1e3), "scale": (0.0, 64.0)}
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
    rows = {"shape": ((7, 4), (5, 2)), "dtype": SPACE["dtype"]}
    for label, relation, reductions in (("", "permutation", ("none", "mean")), ("other rows", "other rows", ("none",))):
        vary = {**rows, "reduction": reductions}
        yield Probe(LOSS, "invariances", "CF-9", label, vary=vary, options=OfInvariances(relation=relation))
