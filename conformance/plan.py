"""The plan: which probes are run for a loss. The conventions bring most of them; each loss adds its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from lossproof.conformance.verdict import Probe
from lossproof.spec import clauses, losses

HALVES = ("float16", "bfloat16")


def modules() -> Mapping[str, Any]:
    """Return, for each loss of the spec, its space of cases, its boundary cases and its probes in one namespace."""
    found = {}
    for loss, page in losses().items():
        parts = [
            importlib.import_module(f"lossproof.conformance.cases.{page.name}{suffix}")
            for suffix in ("", "_boundaries", "_probes")
        ]
        found[loss] = SimpleNamespace(**{name: thing for part in parts for name, thing in vars(part).items()})
    return found


def plan(loss: str, module: Any) -> list[Probe]:
    """Return the probes of a loss, in the order in which they are run."""
    return [*_examples(loss), *module.probes(), *_conventions(loss, module)]


def _examples(loss: str) -> Iterator[Probe]:
    for clause in clauses().values():
        if any(example.loss == loss and not example.raises for example in clause.examples):
            yield Probe(loss, "examples", clause.id)


def _conventions(loss: str, module: Any) -> Iterator[Probe]:
    basic, space = module.BASIC, module.SPACE
    reductions = losses()[loss].front["reductions"]
    own = {"own_clause": True}
    clause_of = {"none": "CV-1", "sum": "CV-2", "mean": "CV-3", "mean_nonzero": "CV-4"}
    for reduction in reductions:
        vary = {**basic, "shape": space["shape"], "reduction": (reduction,), "mask": (None, "some")}
        yield Probe(loss, "reductions", clause_of[reduction], vary=vary)
    means = tuple(r for r in reductions if r.startswith("mean"))
    for clause in ("CV-5", "CV-6"):
        yield Probe(
            loss,
            "value" if clause == "CV-5" else "gradient",
            clause,
            "no rows",
            vary={"reduction": means, "shape": ((0, 3),)},
            options=own,
        )
        yield Probe(
            loss,
            "value" if clause == "CV-5" else "gradient",
            clause,
            "all masked",
            vary={"reduction": means, "mask": ("nothing",)},
            options=own,
        )
    masked = {**basic, "shape": ((5, 4), (7, 2)), "mask": ("some",), "reduction": tuple(reductions)}
    yield Probe(loss, "masking", "CV-7", vary=masked, options=own)
    yield Probe(loss, "masking", "CV-8", vary={**masked, "distance": space["distance"], "p": space["p"]})
    yield Probe(loss, "masking", "CV-9", vary={**masked, "distance": space["distance"], "p": space["p"]})
    mixed = {
        "shape": ((5, 4), (2, 3)),
        "dtype": space["dtype"],
        "distance": space["distance"],
        "p": space["p"],
        "swap": space["swap"],
    }
    yield Probe(loss, "nan", "CV-10", vary={**mixed, "reduction": tuple(reductions)}, effort=2.0)
    yield Probe(loss, "nan", "CV-11", vary={**mixed, "reduction": tuple(reductions)})
    yield Probe(loss, "nan", "CV-12", vary={**mixed, "reduction": ("none",)})
    yield Probe(
        loss,
        "second_order",
        "CV-14",
        vary={**mixed, "dtype": space["dtype"], "swap": (False,), "eps": space["eps"][:2]},
    )
    sharp = {
        "shape": ((1, 1), (1, 2), (2, 3)),
        "dtype": space["dtype"],
        "margin": (1e-3, 0.2),
        "distance": space["distance"],
        "p": (2.0, 1.0),
    }
    yield Probe(loss, "precision", "CV-15", vary=sharp, effort=1.5)
    yield Probe(
        loss,
        "precision",
        "CV-15",
        "far from the origin",
        vary={
            **sharp,
            "shape": ((2, 3), (5, 4)),
            "offset": (100.0, 1000.0),
            "eps": (0.0, 1e-6),
            "distance": ("p_norm", "squared_euclidean"),
        },
    )
    yield Probe(
        loss,
        "precision",
        "CV-16",
        vary={**sharp, "offset": (0.0, 100.0), "distance": ("p_norm", "squared_euclidean")},
        effort=1.5,
    )
    for half in HALVES:
        yield Probe(
            loss,
            "precision",
            "CV-17",
            half,
            vary={"dtype": (half,), "shape": ((2, 3), (5, 4)), "p": (2.0, 1.0), "margin": (1.0, 0.2)},
        )
        yield Probe(
            loss,
            "precision",
            "CV-16",
            half,
            vary={"dtype": (half,), "shape": ((2, 3), (5, 4)), "p": (2.0, 1.0), "margin": (1.0, 0.2)},
        )
    extremes = {
        "dtype": space["dtype"],
        "distance": space["distance"],
        "p": space["p"],
        "reduction": ("none", "mean"),
    }
    yield Probe(loss, "precision", "CV-19", vary=extremes)
    for dtype in ("float64", "float32", *HALVES):
        yield Probe(
            loss,
            "interface",
            "CV-18",
            dtype,
            vary={"dtype": (dtype,), "reduction": tuple(reductions)},
            effort=0.5,
        )
    yield Probe(loss, "determinism", "CV-21", vary={**mixed, "mask": (None, "some"), "reduction": tuple(reductions)})
    modes = {"compiled": 0.3, "eager": 0.3, "functional": 1.0, "vectorised": 1.0, "unknown_batch": 0.4}
    for mode, effort in modes.items():
        reduction = ("none",) if mode == "vectorised" else tuple(reductions)
        shapes = ((2, 3), (5, 4)) if mode == "vectorised" else ((2, 3),)
        mask = (None,) if mode in ("vectorised", "compiled") else space["mask"]
        vary = {
            "mode": (mode,),
            "shape": shapes,
            "distance": space["distance"],
            "p": (2.0, 1.0, 3.0),
            "swap": space["swap"],
            "reduction": reduction,
            "mask": mask,
        }
        yield Probe(loss, "compiled", "CV-22", mode, vary=vary, effort=effort)
    yield Probe(
        loss,
        "compiled",
        "CV-20",
        "ambient",
        vary={
            "mode": ("ambient",),
            "dtype": ("float32", "float16"),
            "distance": space["distance"],
            "p": (2.0, 1.0, 3.0),
        },
    )
