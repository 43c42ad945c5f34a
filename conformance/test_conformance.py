"""The suite as pytest sees it: one test a probe of the plan. It is started by the command line (run.py)."""

from collections.abc import Callable

from lossproof.conformance.judge.results import Result
from lossproof.conformance.outcome import outcome
from lossproof.conformance.plan.probe import Probe


def test_probe(probe: Probe, verdict: Callable[[Probe], Result]) -> None:
    """Judge one probe; the verdict is pytest's outcome."""
    outcome([verdict(probe)])
