"""The probes of a batch that is spread over processes (spec/distributed.md): the one-device case is the oracle."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.fields import Fields, Varied
from lossproof.conformance.plan.probe import OfAgreement, OfDevices, OfInvariances, OfMasking, OfNan, Probe

MODES = ("ranks:2", "ranks:4")
EVEN = ((8, 4), (4, 2))  # shapes whose rows two and four processes can hold evenly
SPLITS = ("even", "uneven", "one without rows", "all on one")  # of a structure; elsewhere each case has one of these


def many_devices(of: Varied) -> Iterator[Probe]:
    """DD-1 to DD-16: values, gradients, splits, masks, ties, names, NaN and second derivatives over processes."""
    compared = "candidates" in of.page.inputs or of.page.front["unit"] == "batch"  # with the rows of other processes
    rows = {"shape": EVEN, "mask": (None, "some"), "weights": (None, "some are 0"), "mode": MODES}
    fields = {**of.cases.basic, **of.choices, **rows, "class_weights": (None, "some"), **of.every}
    scalar = tuple(r for r in of.reductions if r != "none")
    if of.reductions:
        own = OfAgreement(own_clause=True, structure={"split": SPLITS[0]})
        none = fields | {"reduction": ("none",)}
        yield of.probe("value", "DD-1" if compared else "DD-2", "even", 1.0, own, vary=none)
    reduced = fields | ({"reduction": scalar} if scalar else {})
    yield of.probe("devices", "DD-6", "", 0.5, OfDevices(ask="scale"), vary=reduced)
    yield of.probe("devices", "DD-15", "", 0.17, OfDevices(ask="alike"), vary=reduced)
    for clause, part, vary in (("DD-3", "value", reduced), ("DD-4", "gradient", fields)):
        yield of.probe(part, clause, "even", 1.0, _own(part, SPLITS[0]), vary=vary)
    for split in SPLITS[1:]:
        for part in ("value", "gradient"):
            odd = fields | {"shape": ((5, 4), (7, 2))}
            yield of.probe(part, "DD-7", f"{part}, {split}", 0.5, _own(part, split), vary=odd)
    yield of.probe("value", "DD-7", "half rows", 0.34, OfAgreement(own_clause=True), vary=fields | {"dtype": HALVES})
    masked = fields | {"mask": ("some",)}
    for part in ("value", "gradient"):
        yield of.probe("masking", "DD-8", part, 1.0, OfMasking(content=True, part=part), vary=masked)
    yield of.probe("determinism", "DD-10", effort=0.34, vary=fields)
    alone = {"reduction": ("none",)} if of.reductions else {}  # a sum over all processes is NaN anyway
    yield of.probe(
        "nan",
        "DD-14",
        effort=0.5,
        options=OfNan(structure={"split": SPLITS[0]}),
        vary=fields | {"mask": (None,)} | alone,
    )
    if compared:
        yield from _compared(of, fields)


def _own(part: str, split: str) -> OfAgreement:
    return OfAgreement(own_clause=True, part=part, structure={"split": split})


def _compared(of: Varied, fields: Fields) -> Iterator[Probe]:
    """Yield what is asked where rows are compared with those of other processes."""
    if of.cases.boundaries.gradient:
        yield of.probe("devices", "DD-11", "", options=OfDevices(ask="ties"), vary={"mode": MODES})
    yield of.probe("devices", "DD-12", "", 0.5, OfDevices(ask="copies"), vary=fields)
    names = OfInvariances(relation="relabelling")
    if not of.page.inputs["labels"].get("range"):
        yield of.probe("invariances", "DD-13", "", 0.34, names, vary=fields)
    yield of.probe("devices", "DD-16", "", 0.5, OfDevices(ask="second"), vary=fields)
