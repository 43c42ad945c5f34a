"""The probes of the ArcFace loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi

from lossproof.conformance.plan.cases.arcface.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.arcface.space import CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfErrors, OfInvariances, Probe

EVERYTHING = {name: values for name, values in SPACE.items() if name not in ("size", "mode", "order", "angle")}
EVERYTHING["shape"] = SPACE["shape"][1:3]
WIDE = (1.25, 2.5)  # margins with which many angles are past pi


_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "AF-1", vary=_vary(scale=(*SPACE["scale"], 0.0)))
    yield Probe(LOSS, "value", "AF-2", vary=_vary(size=(-6, 6)), options=OWN)
    tiny = _vary(size=(-40, 40))
    yield Probe(LOSS, "value", "AF-2", "tiny and huge rows", vary=tiny, options=OWN, effort=0.5)
    yield Probe(LOSS, "value", "AF-3", vary=_vary(margin=(0.5, 1.25, 0.1)), options=OWN)
    near = {"angle": ("small", "nearly pi"), "margin": (0.5, 1.25)}
    yield Probe(LOSS, "value", "AF-4", vary=_vary(**near), options=OWN, effort=1.5)
    yield Probe(LOSS, "gradient", "AF-11", "near 0 and pi", vary=_vary(**near), effort=1.5)
    yield from CASES.each("value", "beyond_pi", SPACE["beyond_pi"], OWN, margin=WIDE, reduction=("none", "mean"))
    sure = _vary(angle=("sure",), margin=(0.0, 0.1), scale=(64.0,), shape=((5, 4), (8, 3)))
    yield Probe(LOSS, "precision", "CV-15", "a sure row", vary=sure)
    narrow = _vary(beyond_pi=("linear", "continuous"), margin=(0.1, 0.0, 1.5), angle=("any", "nearly pi"))
    yield Probe(LOSS, "value", "AF-8", vary=narrow, options=OWN)
    single = {"shape": ((5, 2),), "dtype": SPACE["dtype"], "classes": (1,), "scale": (64.0, 1.0)}
    yield Probe(LOSS, "value", "AF-10", vary=single, options=OWN)
    yield Probe(LOSS, "gradient", "AF-10", vary=single, options=OWN)
    yield Probe(LOSS, "gradient", "AF-11", vary=_vary(scale=SPACE["scale"], margin=SPACE["margin"]), effort=1.5)
    for beyond in SPACE["beyond_pi"]:
        past = _vary(beyond_pi=(beyond,), margin=WIDE)
        yield Probe(LOSS, "gradient", "AF-12", beyond, vary=past, options=OWN, effort=0.5)
    defaults = DEFAULTS
    yield Probe(LOSS, "value", "AF-17", vary={"shape": SPACE["shape"][:2]}, options=defaults)
    yield Probe(LOSS, "value", "AF-1", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "AF-11", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    accepted = {
        "shape": ((1, 2), (0, 3)),
        "margin": (0.0, 3.0, pi),
        "scale": (0.0, 64.0),
        "beyond_pi": SPACE["beyond_pi"],
    }
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
    rows = {"shape": ((7, 4), (5, 2)), "dtype": SPACE["dtype"]}
    for label, relation, reductions in (("", "permutation", ("none", "mean")), ("other rows", "other rows", ("none",))):
        vary = {**rows, "reduction": reductions}
        yield Probe(LOSS, "invariances", "AF-16", label, vary=vary, options=OfInvariances(relation=relation))
    yield Probe(LOSS, "errors", "AF-15", "a margin in degrees", options=OfErrors(parameters={"margin": 28.6}))
