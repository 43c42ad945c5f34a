"""The probes of the joint loss that the conventions do not bring already."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.plan.cases.joint.boundaries import BOUNDARIES
from lossproof.conformance.plan.cases.joint.space import BASIC, CASES, LOSS, SPACE
from lossproof.conformance.plan.probe import DEFAULTS, EVERY_PAIR, OWN, OfInvariances, Probe

EVERYTHING = CASES.everything | {"shape": SPACE["shape"][1:3]}


_vary = CASES.vary


def probes() -> Iterator[Probe]:
    """Yield the probes: the parts first, one at a time, then their sum."""
    alone = {"triplet_weight": (0.0,), "center_weight": (0.0,)}
    smoothed = _vary(**alone, label_smoothing=(0.1, 0.0, 0.75))
    yield Probe(LOSS, "value", "JO-2", vary=smoothed, options=OWN)
    triplets = _vary(**alone | {"triplet_weight": (1.0, 2.0)}, triplet_margin=(0.3, 1.0))
    yield Probe(LOSS, "value", "JO-3", vary=triplets, options=OWN)
    yield Probe(LOSS, "value", "JO-4", vary=_vary(**alone | {"center_weight": (0.5, 2.0)}), options=OWN)
    weights = {"triplet_weight": (1.0, 0.5), "center_weight": (0.5, 5e-4, 0.25)}
    yield Probe(LOSS, "value", "JO-1", vary=_vary(**weights), options=OWN)
    counts = _vary(identities=SPACE["identities"], mask=(None, "some"))
    yield Probe(LOSS, "value", "JO-5", vary=counts, options=OWN)
    defaults = DEFAULTS
    yield Probe(LOSS, "value", "JO-6", vary=BASIC, options=defaults)
    yield Probe(LOSS, "gradient", "JO-7", vary=_vary(**weights), options=OWN, effort=1.5)
    yield Probe(LOSS, "value", "JO-1", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    yield Probe(LOSS, "gradient", "JO-7", "everything at once", vary=EVERYTHING, options=EVERY_PAIR, effort=2.0)
    for clause in BOUNDARIES.clauses:
        yield Probe(LOSS, "boundary", clause)
    accepted = {"shape": ((1, 3), (0, 3), (7, 2)), "triplet_margin": (0.0, 64.0), "label_smoothing": (0.0, 1.0)}
    yield Probe(LOSS, "interface", "CV-23", vary=accepted)
    yield Probe(LOSS, "invariances", "JO-9", vary=BASIC, options=OfInvariances(relation="permutation"))
