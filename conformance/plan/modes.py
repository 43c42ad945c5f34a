"""The modes in which an argument, or an option, that came later is asked."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.fields import Fields, Varied
from lossproof.conformance.plan.probe import Probe

MODES = {  # mode -> share of the usual number of structures
    "functional": 0.5,
    "alone": 0.34,
    "stacked": 0.34,
    "traced": 0.34,
    "forward": 0.34,
    "graph": 0.34,
    "unknown_batch": 0.34,
    "reused": 0.34,
    "captured": 0.34,
    "strict": 0.34,
    "strided": 0.34,
}
CLAUSES = {"strict": "CV-36", "strided": "CV-35"}  # of a mode; elsewhere CV-22


def in_each_mode(of: Varied, said: str, fields: Fields) -> Iterator[Probe]:
    """Yield a probe of the fields in each mode; `said` is what its label says of them."""
    for mode, effort in MODES.items():
        yield of.probe(
            "compiled", CLAUSES.get(mode, "CV-22"), f"{mode}, {said}", effort, vary=fields | {"mode": (mode,)}
        )
