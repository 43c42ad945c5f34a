"""The probes of a batch that is spread over processes (spec/distributed.md): the one-device case is the oracle."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.fields import Varied
from lossproof.conformance.plan.probe import OfAgreement, OfDevices, OfInvariances, OfMasking, OfNan, Probe

MODES = ("ranks:2", "ranks:4")
SPLITS = ("even", "uneven", "one without rows", "all on one")  # of a structure; elsewhere each case has one of these


def many_devices(of: Varied) -> Iterator[Probe]:
    """DD-1 to DD-16: values, gradients, splits, masks, ties, names, NaN and second derivatives over processes."""
    if "mask" not in of.page.inputs:
        return
    rows = {"shape": ((5, 4), (7, 2)), "mask": (None, "some"), "weights": (None, "some are 0"), "mode": MODES}
    fields = {**of.cases.basic, **of.choices, **rows, "class_weights": (None, "some")}
    scalar = tuple(r for r in of.reductions if r != "none")
    even = {"split": SPLITS[0]}
    for clause, check, reductions in (
        ("DD-2", "value", ("none",)),
        ("DD-3", "value", scalar),
        ("DD-4", "gradient", of.reductions),
    ):
        if of.reductions or clause != "DD-2":
            part = "gradient" if check == "gradient" else "value"
            own = OfAgreement(own_clause=True, part=part, structure=even)
            chosen = {"reduction": reductions} if of.reductions else {}
            yield of.probe(check, clause, "even", 1.0, own, vary=fields | chosen)
    for split in SPLITS[1:]:
        for check in ("value", "gradient"):
            own = OfAgreement(own_clause=True, part=check, structure={"split": split})
            yield of.probe(check, "DD-7", f"{check}, {split}", 0.5, own, vary=fields | of.every)
    yield of.probe(
        "value", "DD-7", "half rows", 0.34, OfAgreement(own_clause=True), vary=fields | of.every | {"dtype": HALVES}
    )
    masked = fields | of.every | {"mask": ("some",)}
    for part in ("value", "gradient"):
        yield of.probe("masking", "DD-8", part, 0.34, OfMasking(content=True, part=part), vary=masked)
    yield of.probe("determinism", "DD-10", effort=0.34, vary=fields | of.every)
    yield of.probe("nan", "DD-14", effort=0.5, options=OfNan(of_ours=False), vary=fields | of.every | {"mask": (None,)})
    if of.cases.page.front["unit"] != "row" or "candidates" in of.page.inputs:
        yield from _compared(of, fields)


def _compared(of: Varied, fields: dict[str, tuple[object, ...]]) -> Iterator[Probe]:
    """Yield what is asked where rows are compared with those of other processes."""
    if of.cases.boundaries.gradient:
        yield of.probe("devices", "DD-11", "ties", options=OfDevices(ask="ties"), vary={"mode": MODES})
    yield of.probe("devices", "DD-12", "copies", 0.5, OfDevices(ask="copies"), vary=fields | of.every)
    ends = OfInvariances(relation="relabelling")
    yield of.probe("invariances", "DD-13", "names", 0.34, ends, vary=fields | of.every)
    yield of.probe("devices", "DD-16", effort=0.5, options=OfDevices(ask="second"), vary=fields | of.every)
