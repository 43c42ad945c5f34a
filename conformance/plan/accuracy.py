"""The probes of the budgets: where they are sharp, and of batches that are worked on in blocks or counted in halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.fields import Varied
from lossproof.conformance.plan.probe import GRADIENT, LARGE, LARGE_GRADIENT, OfAgreement, Probe

ROWS = ("p_norm", "euclidean", "squared_euclidean")  # distances that an offset of the rows makes hard


def budgets(of: Varied) -> Iterator[Probe]:
    """Yield the probes of CV-15 to CV-17 and CV-19."""
    yield from _sharp(of)
    yield from _halves(of)
    distances = {name: of.space.get(name, ()) for name in ("distance", "p")}
    extremes = {"dtype": of.space["dtype"], **distances, "reduction": ("none", "mean")}
    yield of.probe("precision", "CV-19", options=OfAgreement(beyond=True), vary=extremes)
    yield from _many_rows(of)
    yield from _wide_rows(of)


def _sharp(of: Varied) -> Iterator[Probe]:
    """Yield the probes of few rows, whose budgets are sharpest."""
    dtype, few, distances = of.space["dtype"], of.cases.sharp_rows, of.space.get("distance", ())
    sharp = {"shape": few, "dtype": dtype, "margin": (1e-3, 0.2), "distance": distances, "p": (2.0, 1.0)}
    yield of.probe("precision", "CV-15", effort=1.5, vary=sharp)
    if "offset" in of.space:
        far = {"shape": ((2, 3), (5, 4)), "offset": (100.0, 1000.0), "eps": (0.0, 1e-6), "distance": ROWS}
        yield of.probe("precision", "CV-15", "far from the origin", effort=3.0, vary=sharp | far)
        sharp |= {"offset": (0.0, 100.0), "distance": ROWS}
    yield of.probe("precision", "CV-16", effort=1.5, options=GRADIENT, vary=sharp)
    if "offset" in of.space:  # rows in units of their own size
        ends = {"scale": (-40, 40), "dtype": dtype, "distance": ("p_norm", "euclidean"), "p": (2.0, 1.0)}
        ends["reduction"] = ("none", "mean_nonzero")
        yield of.probe("precision", "CV-15", "tiny and huge rows", vary=ends)
        yield of.probe("precision", "CV-16", "tiny and huge rows", options=GRADIENT, vary=ends)


def _halves(of: Varied) -> Iterator[Probe]:
    """Yield the probes of the half formats."""
    reals = [n for n, entry in of.page.parameters.items() if entry["kind"] == "real" and n in of.space and n != "p"]
    options = {**of.choices, **{n: of.space[n] for n in reals}, **of.every, "mask": (None, "some")}
    options |= {"weights": (None, "some are 0")}
    for half in HALVES:
        fields = {"dtype": (half,), "shape": ((2, 3), (5, 4)), "p": (2.0, 1.0), "margin": (1.0, 0.2)}
        yield of.probe("precision", "CV-17", half, vary=fields)
        yield of.probe("precision", "CV-17", f"{half}, every option", vary={**options, **fields})
        yield of.probe("precision", "CV-16", half, options=GRADIENT, vary=fields)
        several = options | fields | {"shape": of.cases.few_rows[-1:], "weights": (None, "some")}
        yield of.probe("precision", "CV-16", f"{half}, every option", options=GRADIENT, vary=several)


def _many_rows(of: Varied) -> Iterator[Probe]:
    """Yield the probes of batches that are worked on in blocks, counted in small integers, or far from the origin."""
    classes = {"classes": (300,)} if "classes" in of.space else {}
    rows = {**of.cases.basic, "shape": (of.cases.many,), "reduction": ("mean",), "mask": ("some",), **classes}
    ids = "identities" in of.space and not classes
    most, few = ({"identities": (value,)} if ids else {} for value in ("many rows", "few"))
    summed = {"reduction": ("sum",)}
    yield of.probe("precision", "CV-15", "many rows", 0.17, LARGE, vary=rows | most)
    yield of.probe("precision", "CV-15", "many rows, weighed", 0.17, LARGE, vary=rows | most | {"weights": ("some",)})
    fewer = rows | few | summed  # identities: there are fewer near ties
    yield of.probe("precision", "CV-15", "many rows, summed", 0.17, LARGE, vary=fewer)
    yield of.probe("precision", "CV-16", "many rows", 0.17, LARGE_GRADIENT, vary=rows | most | summed)
    every = {**of.choices, **of.every, "mask": (None, "some"), "weights": (None, "some"), "dtype": ("float64",)}
    yield of.probe("precision", "CV-15", "many rows, every option", 0.34, LARGE, vary=rows | few | every)
    yield of.probe("precision", "CV-16", "many rows, every option", 0.34, LARGE_GRADIENT, vary=rows | few | every)
    means = {"reduction": tuple(r for r in of.space.get("reduction", ()) if r.startswith("mean"))}
    for half, shape in zip(reversed(HALVES), of.cases.counted, strict=True):  # more terms than it can count
        fields = {"dtype": (half,), "shape": (shape,), "mask": (None,)}
        yield of.probe("precision", "CV-17", f"many rows, {half}", 0.34, LARGE, vary=rows | most | means | fields)
    if "offset" in of.space:
        far = rows | few | {"shape": ((33, 2),), "offset": (1000.0,), "dtype": ("float32",)}  # cdist expands from 26
        yield of.probe("precision", "CV-15", "more rows far off", 0.34, LARGE, vary=far)


def _wide_rows(of: Varied) -> Iterator[Probe]:
    """Yield the probes of rows of many features."""
    wide = {**of.cases.basic, "shape": ((5, 130),)}
    yield of.probe("precision", "CV-15", "wide rows", 0.34, LARGE, vary=wide | {"offset": (1000.0,)})
    own = replace(LARGE_GRADIENT, own_clause=True)
    yield of.probe("precision", "CV-16", "wide rows", 0.34, own, vary=wide)
    wider = wide | {"shape": ((4, 1031),), "identities": ("many rows",), **of.choices, "dtype": ("float64",)}
    yield of.probe("precision", "CV-15", "very wide rows", 0.34, LARGE, vary=wider)
    yield of.probe("precision", "CV-16", "very wide rows", 0.34, own, vary=wider)
