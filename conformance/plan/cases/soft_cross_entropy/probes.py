"""The probes of the soft cross-entropy loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases import weighed_classes
from lossproof.conformance.plan.cases.soft_cross_entropy.space import BASIC, CASES, CLASS_WEIGHTS, LOSS, SPACE
from lossproof.conformance.plan.probe import (
    DEFAULTS,
    EVERY_PAIR,
    LARGE_AND_OWN,
    LARGE_GRADIENT,
    OWN,
    OfInvariances,
    OfRanges,
    Probe,
)

EVERYTHING = {n: v for n, v in CASES.everything.items() if n not in ("ruled_out", "class_weights")} | {"scale": (1, 3)}
LARGE_LOGITS = {"scale": (6, 10, 13), "shape": ((5, 4), (7, 2))}
TARGETS, SMOOTHING = SPACE["targets"], SPACE["label_smoothing"]

_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes, formula first."""
    yield Probe(LOSS, "value", "ST-1", vary=BASIC)
    yield Probe(LOSS, "value", "ST-2", vary=_vary(targets=("any sum", "some nothing")), options=OWN)
    counted = _vary(targets=("some nothing",), reduction=("mean",))
    yield Probe(LOSS, "value", "ST-2", "rows of zeros are counted", vary=counted, options=OWN, effort=0.5)
    yield Probe(LOSS, "value", "ST-3", vary=_vary(label_smoothing=(0.1, 0.75), targets=TARGETS), options=OWN)
    yield Probe(LOSS, "value", "ST-4", vary=_vary(**LARGE_LOGITS, label_smoothing=(0.0, 0.1)), options=OWN)
    beyond = _vary(shape=((9, 1100),), scale=(13,))  # the largest logit may be in any block of classes
    yield Probe(LOSS, "value", "ST-4", "many classes", vary=beyond, options=LARGE_AND_OWN, effort=0.17)
    shifted = _vary(offset=(1000.0, -1000.0, 16384.0), label_smoothing=(0.0, 0.1))
    yield Probe(LOSS, "value", "ST-4", "shifted", vary=shifted)
    yield from _gradients()
    yield Probe(LOSS, "value", "ST-7", vary=_vary(label_smoothing=(1.0,), targets=TARGETS), options=OWN)
    yield from _ruled_out()
    single = {"shape": ((5, 1), (2, 1)), "dtype": SPACE["dtype"], "label_smoothing": (0.0, 0.1, 1.0)}
    yield Probe(LOSS, "value", "ST-12", vary=single | {"targets": TARGETS}, options=OWN)
    yield Probe(LOSS, "gradient", "ST-12", vary=single | {"targets": TARGETS}, options=OWN)
    yield Probe(LOSS, "value", "ST-16", vary=BASIC, options=DEFAULTS)
    yield Probe(LOSS, "value", "ST-1", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "ST-5", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "interface", "CV-23", vary={"shape": ((1, 1), (0, 3), (1, 5)), "label_smoothing": (0.0, 1.0)})
    rows = {"shape": ((5, 4), (7, 2)), "dtype": SPACE["dtype"], "label_smoothing": (0.0, 0.1)}
    for label, relation, reductions in (("", "permutation", ("none", "mean")), ("other rows", "other rows", ("none",))):
        vary = {**rows, "reduction": reductions}
        yield Probe(LOSS, "invariances", "ST-13", label, vary=vary, options=OfInvariances(relation=relation))
    wrong = {"shape": ((5, 4), (7, 2)), "reduction": ("none", "mean"), "mask": (None, "some"), "targets": TARGETS}
    below = OfRanges(input="targets")
    yield Probe(LOSS, "ranges", "ST-15", vary=wrong, options=below)
    yield Probe(LOSS, "ranges", "ST-15", "captured", vary=wrong | {"mode": ("captured",)}, options=below, effort=0.17)
    yield from weighed_classes.probes(CASES, CLASS_WEIGHTS)


def _gradients() -> Iterator[Probe]:
    """Yield the probes of both gradients where no class is left out."""
    yield Probe(LOSS, "gradient", "ST-5", vary=_vary(label_smoothing=SMOOTHING, targets=TARGETS), effort=1.5)
    yield Probe(LOSS, "gradient", "ST-5", "large logits", vary=_vary(**LARGE_LOGITS, label_smoothing=(0.0, 0.1)))
    zeros = _vary(targets=("one", "two", "some nothing"), label_smoothing=(0.0, 0.1))
    yield Probe(LOSS, "gradient", "ST-6", vary=zeros)
    many = _vary(shape=((64, 300),), scale=(3,), targets=("equal", "any sum"), label_smoothing=(0.0, 0.1))
    yield Probe(LOSS, "precision", "CV-16", "many classes", vary=many, options=LARGE_GRADIENT, effort=0.34)


def _ruled_out() -> Iterator[Probe]:
    """Yield the probes of logits that are -inf."""
    others = _vary(ruled_out=("others",), targets=TARGETS)
    yield Probe(LOSS, "value", "ST-9", vary=others, options=OWN)
    yield Probe(LOSS, "gradient", "ST-10", vary=others, options=OWN)
    out = _vary(ruled_out=("any",), reduction=("none",), label_smoothing=SMOOTHING)
    yield Probe(LOSS, "value", "ST-11", vary=out, options=OWN)
    shared = {**out, "label_smoothing": (1.0,)}
    yield Probe(LOSS, "value", "ST-11", "smoothing of 1", vary=shared, options=OWN, effort=0.5)
