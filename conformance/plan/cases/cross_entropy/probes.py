"""The probes of the cross-entropy loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases import weighed_classes
from lossproof.conformance.plan.cases.cross_entropy.space import BASIC, CASES, CLASS_WEIGHTS, LOSS, SPACE
from lossproof.conformance.plan.probe import (
    DEFAULTS,
    EVERY_PAIR,
    LARGE_AND_OWN,
    LARGE_GRADIENT,
    OWN,
    OfInvariances,
    Probe,
)

EVERYTHING = {n: v for n, v in CASES.everything.items() if n not in ("ruled_out", "class_weights")} | {"scale": (1, 3)}
SMOOTHED = (0.1, 0.75)
LARGE_LOGITS = {"scale": (6, 10, 13), "shape": ((5, 4), (7, 2))}


_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "CE-1", vary=BASIC)
    yield Probe(LOSS, "value", "CE-2", vary=_vary(label_smoothing=SMOOTHED), options=OWN)
    yield Probe(LOSS, "value", "CE-3", vary=_vary(**LARGE_LOGITS, label_smoothing=(0.0, 0.1)), options=OWN)
    beyond = _vary(shape=((9, 1100),), scale=(13,))  # the largest logit may be in any block of classes
    yield Probe(LOSS, "value", "CE-3", "many classes", vary=beyond, options=LARGE_AND_OWN, effort=0.17)
    shifted = _vary(offset=(1000.0, -1000.0, 16384.0), label_smoothing=(0.0, 0.1))
    yield Probe(LOSS, "value", "CE-3", "shifted", vary=shifted)
    yield Probe(LOSS, "gradient", "CE-4", vary=_vary(label_smoothing=SPACE["label_smoothing"]), effort=1.5)
    yield Probe(LOSS, "gradient", "CE-4", "large logits", vary=_vary(**LARGE_LOGITS, label_smoothing=(0.0, 0.1)))
    many = _vary(shape=((64, 300),), scale=(3,), label_smoothing=(0.1,))  # equal shares of a target, added up
    yield Probe(LOSS, "precision", "CV-16", "many classes", vary=many, options=LARGE_GRADIENT, effort=0.34)
    yield Probe(LOSS, "value", "CE-5", vary=_vary(label_smoothing=(1.0,)), options=OWN)
    yield Probe(LOSS, "value", "CE-7", vary=_vary(ruled_out=("others",)), options=OWN)
    yield Probe(LOSS, "gradient", "CE-8", vary=_vary(ruled_out=("others",)), options=OWN)
    out = _vary(ruled_out=("any",), reduction=("none",), label_smoothing=SPACE["label_smoothing"])
    yield Probe(LOSS, "value", "CE-9", vary=out, options=OWN)
    shared = {**out, "label_smoothing": (1.0,)}
    yield Probe(LOSS, "value", "CE-9", "smoothing of 1", vary=shared, options=OWN, effort=0.5)
    single = {"shape": ((5, 1), (2, 1)), "dtype": SPACE["dtype"], "label_smoothing": (0.0, 0.1, 1.0)}
    yield Probe(LOSS, "value", "CE-10", vary=single, options=OWN)
    yield Probe(LOSS, "gradient", "CE-10", vary=single, options=OWN)
    yield Probe(LOSS, "value", "CE-12", vary=BASIC, options=DEFAULTS)
    yield Probe(LOSS, "value", "CE-1", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "CE-4", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "interface", "CV-23", vary={"shape": ((1, 1), (0, 3), (1, 5)), "label_smoothing": (0.0, 1.0)})
    rows = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "label_smoothing": (0.0, 0.1)}
    for label, relation, reductions in (("", "permutation", ("none", "mean")), ("other rows", "other rows", ("none",))):
        vary = {**rows, "reduction": reductions}
        yield Probe(LOSS, "invariances", "CE-11", label, vary=vary, options=OfInvariances(relation=relation))
    yield from weighed_classes.probes(CASES, CLASS_WEIGHTS)
