"""The probes of a soft margin where the hinge has those of the conventions to itself: they ask the same of it."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.blame import REDUCTIONS
from lossproof.conformance.plan.fields import Varied
from lossproof.conformance.plan.modes import in_each_mode
from lossproof.conformance.plan.probe import (
    GRADIENT,
    LARGE,
    LARGE_GRADIENT,
    MASKED_GRADIENT,
    MASKED_VALUE,
    OWN,
    OfAgreement,
    OfNan,
    Probe,
)


def soft_margin(of: Varied) -> Iterator[Probe]:
    """Yield the probes of a loss that had its hinge before it had a soft margin."""
    if "soft_margin" not in of.space or "soft_margin" in of.cases.varied:
        return
    soft = {"soft_margin": (True,)}
    basic = {**of.cases.basic, "shape": ((5, 4), (7, 2)), **of.choices, **soft}
    fields = basic | of.every | {"mask": (None, "some")}
    for reduction in of.reductions:
        of_one = basic | {"reduction": (reduction,), "mask": (None, "some")}
        yield of.probe("reductions", REDUCTIONS[reduction], "soft margin", 0.5, vary=of_one)
    weighed = fields | {"weights": ("some", "some are 0")}
    yield of.probe("reductions", "CV-39", "soft margin", 0.5, vary=weighed)
    masked = fields | {"mask": ("some",)}
    yield of.probe("masking", "CV-8", "soft margin", 0.5, MASKED_VALUE, vary=masked)
    yield of.probe("masking", "CV-9", "soft margin", 0.5, MASKED_GRADIENT, vary=masked)
    yield of.probe("nan", "CV-10", "soft margin", vary=fields)
    if of.cases.unspecified:
        yield of.probe("nan", "CV-11", "soft margin", 0.5, OfNan(part="gradient", left_open=True), vary=fields)
    yield of.probe("precision", "CV-19", "soft margin", 0.5, OfAgreement(beyond=True), vary=fields)
    yield of.probe("determinism", "CV-21", "soft margin", 0.5, vary=fields)
    yield from _accuracy(of, basic)
    yield from in_each_mode(of, "soft margin", fields | {"shape": ((5, 4),)})
    ambient = {"mode": ("ambient",), "dtype": ("float32", "float16"), **of.choices, **soft}
    yield of.probe("compiled", "CV-20", "ambient, soft margin", 0.5, vary=ambient)


def _accuracy(of: Varied, basic: dict[str, tuple[object, ...]]) -> Iterator[Probe]:
    """CV-15 to CV-17."""
    sharp = {**basic, "shape": of.cases.sharp_rows}
    yield of.probe("precision", "CV-15", "soft margin", vary=sharp)
    yield of.probe("precision", "CV-16", "soft margin", options=GRADIENT, vary=sharp)
    for half in HALVES:
        yield of.probe("precision", "CV-17", f"{half}, soft margin", 0.5, vary=sharp | {"dtype": (half,)})
    many = {**basic, "shape": (of.cases.many,), "reduction": ("sum", "mean"), "identities": ("few",)}
    yield of.probe("precision", "CV-15", "many rows, soft margin", 0.17, LARGE, vary=many)
    yield of.probe("precision", "CV-16", "many rows, soft margin", 0.17, LARGE_GRADIENT, vary=many)
    if "offset" in of.space:
        far = sharp | {"offset": (100.0,), "scale": (-4,)}
        yield of.probe("precision", "CV-15", "far from the origin, soft margin", 0.5, OWN, vary=far)
