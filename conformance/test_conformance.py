"""The suite as pytest sees it: one test a probe of the plan. It is started by the command line (run.py)."""

from collections.abc import Callable

from lossproof.conformance.run import outcome
from lossproof.conformance.verdict import Probe, Result


def test_probe(probe: Probe, verdict: Callable[[Probe], Result]) -> None:
    """Judge one probe; the verdict is pytest's outcome."""
    outcome(verdict(probe))
