"""Certificates made by hand, for tests of what is said about them."""

import numpy as np

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.report import scope
from lossproof.conformance.report.certificate import make

LOSS = "triplet_margin_loss"
ROWS = {name: np.zeros((1, 2)) for name in ("anchor", "positive", "negative")}
HELLO = {
    "name": "tool",
    "version": "1.0",
    "framework": "numpy",
    "framework_version": "2",
    "device": "cpu",
    "dtypes": ["float64"],
    "origin": {LOSS: ["tool.py", "tool"]},
}


def finding(clause, mismatch=None, label="", loss=LOSS, check="value", **parameters):
    """Return a finding of a small case."""
    mismatch = mismatch or Mismatch("value", "loss", 2.0, 1.0, 1.234567e-15, 10.0)
    return Finding(loss, clause, label, check, mismatch, Case(loss, ROWS, "float64", parameters))


def result(clause, verdict, *findings, check="value", loss=LOSS, **others):
    """Return the result of a probe."""
    return Result(Probe(loss, check, clause), verdict, list(findings), run=1, planned=1, **others)


def certificate(
    *results, losses=(), checks=(), complete=True, ours=False, stale=(), hello=HELLO, target="tool.py:tool"
):
    """Return the certificate of a run with these results."""
    run = {
        "target": target,
        "ours": ours,
        "seed": 0,
        "examples": 1,
        "date": "2026-01-01T00:00:00+00:00",
        "complete": complete,
        "scope": scope.make(losses, checks, CHECKS, results),
        "cases": len(results),
        "seconds": 1.0,
    }
    return make(hello, run, list(results), [{"finding": name} for name in stale])


WRONG = (
    result("CV-28", "nonconformant", finding("CV-28", Mismatch("accepted", "the call", 0.5, "an error", 0.0, np.inf))),
    result("TM-1", "nonconformant", finding("TM-1", margin=1.0)),
    result("CV-16", "nonconformant", finding("CV-16", check="gradient")),
)
RIGHT = (result("TM-1", "conformant"), result("CV-16", "conformant", check="gradient"), result("CV-28", "conformant"))
UNCHECKED = (result("TM-1", "conformant"), WRONG[0])
