"""What the cases of losses with a row distance share: fields with the clauses that they blame, rows, and probes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.blame import Blames, by_choice
from lossproof.conformance.plan.cases.structures import Structure, held
from lossproof.conformance.plan.probe import MASKED_GRADIENT, MASKED_VALUE, OWN, Options, Probe

# The fields of a distance with their choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "distance": ("p_norm", "squared_euclidean", "cosine", "euclidean"),
    "p": (2.0, 1.0, inf, 3.0, 1.5, 7.0),
    "eps": (0.0, 1e-6, 0.25),
    "eps_at": ("difference", "root", "floor"),
}
CONTROLLED = ("distance", "p", "eps", "eps_at")  # options that a control case shares with a special one
SMALLER_SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3))

DISTANCE = by_choice(
    "distance", {"squared_euclidean": ("DI-7", "DI-12"), "cosine": ("DI-8", "DI-13"), "euclidean": ("DI-9", "DI-11")}
)
BLAMES = (
    *DISTANCE,
    *by_choice("eps_at", {"difference": ("DI-4", "DI-11"), "root": ("DI-5", "DI-11"), "floor": ("DI-6", "DI-11")}),
    Blames("eps", "DI-4", "DI-11"),
    Blames("scale", "DI-19", "DI-19"),
    *by_choice("p", {1.0: ("DI-2", "DI-11"), inf: ("DI-3", "DI-11")}),
    Blames("p", "DI-1", "DI-11"),
)


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that do not apply, or that contradict, at their neutral values."""
    s = dict(structure)
    if s["distance"] != "p_norm":
        s.update(p=2.0, eps=offer.page.parameters["eps"]["default"], eps_at="difference")
    if s["p"] == inf and s["eps_at"] != "difference":
        s["eps"] = 0.0 if offer.has("eps") else s["eps"]
    s = held(s, offer)
    if not offer.ours and s["distance"] == "p_norm" and s["p"] not in (1.0, 2.0, inf):
        reach = int((900 if s["dtype"] == "float64" else 90) / s["p"])  # the domain of unscaled powers, DI-19
        s["scale"] = max(-reach, min(reach, s["scale"]))
    if not offer.ours and s["distance"] == "cosine" and s["dtype"] != "float64":
        s["scale"] = max(-27, min(27, s["scale"]))  # a product of two squared lengths stays normal
    return of_soft_margin(s, offer)


def of_soft_margin(structure: Structure, offer: Offer) -> Structure:
    """Return the structure without what a soft margin has no room for: a margin, and rows of another unit."""
    if not structure.get("soft_margin"):
        return structure
    return {**structure, "margin": offer.page.parameters["margin"]["default"], "scale": 0}


def grown(structure: Structure) -> Structure:
    """Return the structure with a margin in units of the rows."""
    unit = 2.0 ** (structure["scale"] * {"squared_euclidean": 2, "cosine": 0}.get(structure["distance"], 1))
    return {**structure, "margin": structure["margin"] * unit if unit != 1 else structure["margin"]}  # 1 stays whole


def rows(
    structure: Structure, rng: np.random.Generator, names: tuple[str, ...], sizes: list[float]
) -> dict[str, Array]:
    """Return inputs of rows of a few sizes around the offset, which the dtype of the structure holds."""
    shape, unit = structure["shape"], 2.0 ** structure["scale"]
    size = unit * rng.choice(sizes, size=(len(names), *shape[:-1], 1))
    drawn = (np.asarray(structure["offset"] + s * rng.standard_normal(shape)) for s in size)
    return {name: rounded(array, structure["dtype"]) for name, array in zip(names, drawn, strict=True)}


def probes(loss: str, space: Mapping[str, tuple[Any, ...]], interface: str) -> Iterator[Probe]:
    """Yield the probes of the conventions where eps is placed elsewhere, and of what the other probes seldom draw."""
    few = {"shape": ((5, 4), (2, 3)), "dtype": space["dtype"]}
    swap = {"swap": (False, True)} if "swap" in space else {}

    def probe(
        check: str, clause: str, label: str, effort: float = 1.0, options: Options | None = None, **vary: Any
    ) -> Probe:
        own = OWN if clause == interface else Options()
        return Probe(loss, check, clause, label, {**few, **vary}, options or own, effort)

    for placed in ("root", "floor"):
        at: dict[str, Any] = {"eps": (0.25, 1e-6), "eps_at": (placed,), "p": (2.0, 3.0), **swap}
        at["reduction"] = space["reduction"]
        masked: dict[str, Any] = {**at, "mask": ("some",)}
        yield probe("masking", "CV-8", placed, 0.34, MASKED_VALUE, **masked)
        yield probe("masking", "CV-9", placed, 0.34, MASKED_GRADIENT, **masked)
        yield probe("nan", "CV-10", placed, 0.34, **at)
        yield probe("determinism", "CV-21", placed, 0.34, **masked)
    tiny: dict[str, Any] = {"distance": ("cosine",), "scale": (-27, 27, -40, 40), "shape": ((5, 4), (1, 16))}
    yield probe("precision", "DI-8", "tiny and huge rows", **tiny)
    yield probe("gradient", "DI-13", "tiny and huge rows", **tiny)
    yield probe("value", "DI-1", "p = 4", 0.34, p=(4.0,))
    yield probe("value", "DI-1", "other p", 0.5, p=(1.75, 5.0))
    yield probe("gradient", "DI-11", "other p", 0.5, p=(4.0, 1.75, 5.0))
    for distance in space["distance"]:
        yield probe("interface", interface, f"no rows, {distance}", 0.17, shape=((0, 3),), distance=(distance,))
    yield probe("interface", interface, "mask of one row", 0.34, shape=((3,),), mask=("some",))
    whole: dict[str, Any] = {"margin": (2, 1), "p": (2, 1)} | ({"factor": (1, 2)} if "factor" in space else {})
    yield probe("interface", "CV-23", "whole numbers", 0.34, **whole)
