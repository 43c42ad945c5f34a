"""What the cases of losses with a row distance share: fields, options that apply, and the clause a field blames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.probe import OWN, Options, Probe

OF_P_NORM = ("p", "eps", "eps_at")

# The fields of a distance with their choices; the first is neutral, and a smallest case keeps it where it can.
SPACE: dict[str, tuple[Any, ...]] = {
    "distance": ("p_norm", "squared_euclidean", "cosine", "euclidean"),
    "p": (2.0, 1.0, inf, 3.0, 1.5, 7.0),
    "eps": (0.0, 1e-6, 0.25),
    "eps_at": ("difference", "root", "floor"),
}
CONTROLLED = ("distance", *OF_P_NORM)  # options that a control case shares with a special one


def normal(structure: Structure, offer: Offer) -> Structure:
    """Return the structure with options that do not apply, or that contradict, at their neutral values."""
    s = dict(structure)
    if s["distance"] != "p_norm":
        s.update(p=2.0, eps=offer.page.parameters["eps"]["default"], eps_at="difference")
    if s["p"] == inf and s["eps_at"] != "difference":
        s["eps"] = 0.0 if offer.has("eps") else s["eps"]
    if s["dtype"] in ("float16", "bfloat16") and abs(s["scale"]) > 4:
        s["scale"] = 0
    if not offer.ours and s["distance"] == "p_norm" and s["p"] not in (1.0, 2.0, inf):
        reach = int((900 if s["dtype"] == "float64" else 90) / s["p"])  # the domain of unscaled powers, DI-19
        s["scale"] = max(-reach, min(reach, s["scale"]))
    if not offer.ours and s["distance"] == "cosine" and s["dtype"] != "float64":
        s["scale"] = max(-27, min(27, s["scale"]))  # a product of two squared lengths stays normal
    return s


def parameters(structure: Structure, offer: Offer, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of the call: those that apply and that the function has; the margin grows with the rows."""
    if structure.get("defaults"):
        return {}
    unit = 2.0 ** (structure["scale"] * {"squared_euclidean": 2, "cosine": 0}.get(structure["distance"], 1))
    chosen = {name: structure[name] for name in options}
    chosen["margin"] *= unit if unit != 1 else 1  # a whole number stays one
    if structure["distance"] != "p_norm":
        chosen = {name: value for name, value in chosen.items() if name not in OF_P_NORM}
    return {name: value for name, value in chosen.items() if offer.has(name)}


def judged_parameters(structure: Structure, offer: Offer, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that the oracle works with: those of the call, and what the function has fixed."""
    applies = structure["distance"] == "p_norm"
    fixed = {n: v for n, v in offer.fixed.items() if not offer.has(n) and (applies or n not in OF_P_NORM)}
    return fixed | parameters(structure, offer, options)


def probes(loss: str, space: Mapping[str, tuple[Any, ...]], interface: str) -> Iterator[Probe]:
    """Yield the probes of the conventions where eps is placed elsewhere, and of what the other probes seldom draw."""
    few = {"shape": ((5, 4), (2, 3)), "dtype": space["dtype"]}
    swap = {"swap": (False, True)} if "swap" in space else {}

    def probe(check: str, clause: str, label: str, effort: float = 1.0, **vary: Any) -> Probe:
        own = OWN if clause == interface else Options()
        return Probe(loss, check, clause, label, {**few, **vary}, own, effort)

    for placed in ("root", "floor"):
        at = {"eps": (0.25, 1e-6), "eps_at": (placed,), "p": (2.0, 3.0), "reduction": space["reduction"], **swap}
        masked = {**at, "mask": ("some",)}
        yield probe("masking", "CV-8", placed, 0.34, **masked)
        yield probe("masking", "CV-9", placed, 0.34, **masked)
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
    whole = {"margin": (2, 1), "p": (2, 1)} | ({"factor": (1, 2)} if "factor" in space else {})
    yield probe("interface", "CV-23", "whole numbers", 0.34, **whole)


def blame(needed: Mapping[str, Any], *, gradient: bool) -> str | None:
    """Return the clause of distances.md that a failure speaks of, from the fields without which it goes away."""
    if "distance" in needed:
        value, derivative = {
            "squared_euclidean": ("DI-7", "DI-12"),
            "cosine": ("DI-8", "DI-13"),
            "euclidean": ("DI-9", "DI-11"),
        }[needed["distance"]]
        return derivative if gradient else value
    if "eps_at" in needed or "eps" in needed:
        placed = needed.get("eps_at", "difference")
        return "DI-11" if gradient else {"difference": "DI-4", "root": "DI-5", "floor": "DI-6"}[placed]
    if "scale" in needed:
        return "DI-19"
    if "p" in needed:
        return "DI-11" if gradient else {1.0: "DI-2", inf: "DI-3"}.get(needed["p"], "DI-1")
    return None


def conventions(kind: str, needed: Mapping[str, Any], *, half: bool) -> str | None:
    """Return the clause of conventions.md that a failure speaks of, if the fields name one."""
    gradient = kind == "gradient"
    if kind == "second":
        return "CV-14"
    if "mode" in needed:
        return {"ambient": "CV-20", "strided": "CV-35", "strict": "CV-36"}.get(needed["mode"], "CV-22")
    if "mask" in needed:
        return "CV-9" if gradient else "CV-7"
    if "offset" in needed:
        return "CV-16" if gradient else "DI-4" if "eps" in needed else "CV-15"
    if "dtype" in needed and half:
        return "CV-16" if gradient else "CV-17"
    if "reduction" in needed:
        return {"none": "CV-1", "sum": "CV-2", "mean": "CV-3", "mean_nonzero": "CV-4"}[needed["reduction"]]
    return None
