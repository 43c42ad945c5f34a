"""The probes of the mined triplet losses where a bug hides from small batches of middling rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lossproof.conformance.plan.probe import LARGE_AND_OWN, OWN, OfAgreement, OfNan, Probe

ROWS = ("euclidean", "squared_euclidean")


def extreme(loss: str, formula: str, basic: Mapping[str, Any]) -> Iterator[Probe]:
    """Yield rows as large and as small as the domain of the budgets has them."""
    far = {**basic, "scale": (52,), "dtype": ("float64", "float32")}
    for distance in ROWS:  # a square of 2**104 is more than many a number that stands for "none"
        label = f"huge rows, {distance}"
        yield Probe(loss, "value", formula, label, vary={**far, "distance": (distance,)}, options=OWN, effort=0.34)
        label = f"no filler decides, {distance}"
        yield Probe(loss, "precision", "CV-19", label, options=OfAgreement(beyond=True, filler=distance), effort=0.34)
    own = OfNan(part="gradient", of_ours=True)  # much right code gives NaN where there is nothing to learn
    alone = {**basic, "distance": (*ROWS, "cosine"), "identities": ("one",)}  # a row that holds NaN is in no triplet
    yield Probe(loss, "nan", "CV-11", "no triplet", vary=alone, options=own, effort=0.67)
    cosine = {**basic, "distance": ("cosine",), "scale": (-40, 40)}
    yield Probe(loss, "value", "DI-8", "tiny and huge rows", vary=cosine, options=OWN, effort=0.67)


def blocks(loss: str, formula: str, basic: Mapping[str, Any], many: tuple[int, int], **fields: Any) -> Iterator[Probe]:
    """Yield batches that are worked on in blocks, for the options that the conventions leave alone there."""
    plain = {**basic, "shape": (many,), "reduction": ("mean",), "identities": ("many rows",), **fields}
    known = LARGE_AND_OWN
    for distance in ("squared_euclidean", "cosine"):
        vary = {**plain, "distance": (distance,)}
        yield Probe(loss, "value", formula, f"many rows, {distance}", vary=vary, options=known, effort=0.17)
