"""Class weights of cross-entropy, with labels and with targets: the clauses that they blame, and the probes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.blame import Blames
from lossproof.conformance.plan.cases.structures import EVERY_SIZE, NOTHING, WEIGHTS, Structure
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.conventions import MODES
from lossproof.conformance.plan.fields import Varied
from lossproof.conformance.plan.probe import (
    GRADIENT,
    LARGE,
    LARGE_GRADIENT,
    MASKED_GRADIENT,
    MASKED_VALUE,
    OWN,
    OfNan,
    OfWeights,
    Probe,
)

NAME, SOME = "class_weights", WEIGHTS[1:]


@dataclass(frozen=True)
class Clauses:
    """The clauses of a page on class weights."""

    term: str
    mean: str
    gradient: str
    zero: str
    interface: str
    wild: str

    def blames(self) -> tuple[Blames, ...]:
        """Return the rows of the table of what fields blame."""
        return (
            Blames("ruled_out", self.zero, self.zero, among=("weightless",)),
            Blames(NAME, self.mean, self.mean, beside="reduction"),
            Blames(NAME, self.term, self.gradient),
        )


def normal(structure: Structure) -> Structure:
    """Return the structure without logits of classes that weigh nothing where no class does."""
    without = structure["ruled_out"] == "weightless" and structure[NAME] != "some are 0"
    return {**structure, "ruled_out": "nothing"} if without else dict(structure)


def probes(cases: LossCases, clauses: Clauses) -> Iterator[Probe]:
    """Yield the probes, formula first."""
    of, smoothing = Varied(cases), cases.space["label_smoothing"]
    few = {"shape": ((5, 4), (7, 2)), "dtype": cases.space["dtype"], NAME: SOME, "label_smoothing": smoothing}
    units = {"mask": (None, "some"), "weights": (None, "some are 0")}
    terms = few | {"scale": (1, 3), "reduction": ("none", "sum"), "weights": (None, "some")}
    yield of.probe("value", clauses.term, options=OWN, vary=terms)
    means = few | units | {"scale": (1, 3), "reduction": ("mean",)}
    yield of.probe("value", clauses.mean, options=OWN, vary=means | {"mask": (None,), "weights": (None,)})
    masked = means | {"mask": ("some",), "weights": (None,), NAME: SOME[:1]}
    yield of.probe("value", clauses.mean, "rows masked", 0.5, OWN, vary=masked)
    yield of.probe("value", clauses.mean, "rows weighed", 0.5, OWN, vary=means | {"weights": ("some", "some are 0")})
    every_size = {NAME: (EVERY_SIZE,), "dtype": ("float64", "float32")}
    for clause, asked in ((clauses.term, terms), (clauses.mean, means)):
        yield of.probe("value", clause, "weights of every size", 0.34, OWN, vary=asked | every_size)
    nothing = means | {NAME: (NOTHING, "some are 0"), "shape": ((2, 2), (1, 3))}
    yield of.probe("value", clauses.mean, "labels of weight 0", options=OWN, vary=nothing)
    own = OfNan(poison=float("nan"))
    yield of.probe("gradient", clauses.gradient, vary=few | units | of.every | {"scale": (1, 3)}, effort=1.5)
    yield of.probe("gradient", clauses.gradient, "labels of weight 0", 0.5, vary=nothing | of.every)
    ruled_out = few | {NAME: SOME[1:], "ruled_out": ("weightless",)}
    yield of.probe("value", clauses.zero, options=OWN, vary=ruled_out | of.every)
    yield of.probe("gradient", clauses.zero, "ruled out", vary=ruled_out | of.every)
    infinite = few | {"ruled_out": ("any",), "reduction": ("none",)}
    yield of.probe("value", clauses.zero, "ruled out, or infinite", options=OWN, vary=infinite)
    yield of.probe("nan", clauses.zero, "NaN", 1.0, own, vary=few | {NAME: (*SOME, NOTHING)} | of.every)
    wild = few | units | {"reduction": ("none", "mean")}
    yield of.probe("weights", clauses.wild, "wild", 0.5, OfWeights(wild=True, of=NAME), vary=wild)
    captured = {"mode": ("captured",), "shape": ((5, 4),)}
    yield of.probe("weights", clauses.wild, "wild, captured", 0.17, OfWeights(wild=True, of=NAME), vary=wild | captured)
    wide = few | of.every
    yield of.probe("weights", clauses.interface, "wider", 0.5, OfWeights(wider=True, of=NAME), vary=wide)
    yield from _conventions(of, few | units | of.every)


def _conventions(of: Varied, few: dict[str, tuple[object, ...]]) -> Iterator[Probe]:
    """Yield what the conventions ask of a call with class weights."""
    said, masked = "classes weighed", few | {"mask": ("some",), "weights": (None, "some")}
    yield of.probe("masking", "CV-8", said, 0.5, MASKED_VALUE, vary=masked)
    yield of.probe("masking", "CV-9", said, 0.5, MASKED_GRADIENT, vary=masked)
    yield of.probe("determinism", "CV-21", said, vary=few)
    for half in HALVES:
        yield of.probe("precision", "CV-17", f"{half}, {said}", 0.5, vary=few | {"dtype": (half,)})
        yield of.probe("precision", "CV-16", f"{half}, {said}", 0.34, GRADIENT, vary=few | {"dtype": (half,)})
    many = few | {"shape": ((64, 300), of.cases.many), "scale": (3,), "label_smoothing": (0.0, 0.1)}
    yield of.probe("precision", "CV-15", said, 0.34, LARGE, vary=many)
    yield of.probe("precision", "CV-16", said, 0.34, LARGE_GRADIENT, vary=many | {"shape": ((64, 300),)})
    one = few | {"shape": ((5, 4),)}
    for mode, effort in MODES.items():
        if mode != "vectorised" and not (mode == "alone" and len(of.page.rows) == 1):
            yield of.probe("compiled", "CV-22", f"{mode}, {said}", effort / 2, vary=one | {"mode": (mode,)})
    for mode, clause in (("strided", "CV-35"), ("ambient", "CV-20"), ("strict", "CV-36")):
        yield of.probe("compiled", clause, said, 1.0, vary=one | {"mode": (mode,)})
