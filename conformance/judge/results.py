"""Verdicts, and what stands behind them: mismatches, findings, results."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.probe import Probe

CONFORMANT = "conformant"
NONCONFORMANT = "nonconformant"
ERRORED = "errored"  # it raised, crashed, hung or answered garbage
UNSUPPORTED = "unsupported"  # not offered by the implementation: neither a failure nor a pass
OTHER_CHOICE = "another legal choice"  # at a kink, where the spec's own choice binds our backends alone
KNOWN = "known-failing"  # declared, with a reason
NOT_RUN = "not run"
VERDICTS = (CONFORMANT, OTHER_CHOICE, NONCONFORMANT, ERRORED, UNSUPPORTED, KNOWN, NOT_RUN)


@dataclass(frozen=True)
class Mismatch:
    """One answer that is not what the clause says."""

    kind: str  # value, gradient, second, raised, failure, accepted, dtype, changed
    where: str
    got: Any
    want: Any
    budget: float = 0.0
    excess: float = inf  # error as a multiple of the budget
    errored: bool = False
    clause: str | None = None  # where the mismatch itself knows better than its probe
    of_shape: bool = False  # the loss has a wrong shape, and the clause of the reduction says which it has
    traceback: str = ""  # of an implementation that raised


@dataclass(frozen=True)
class Finding:
    """A failure after the smallest case was found: which clause, and how to see it."""

    loss: str
    clause: str
    label: str
    check: str
    mismatch: Mismatch
    case: Case

    @property
    def id(self) -> str:
        """Return the name that a known-failures file gives it: clause, or clause/label."""
        return f"{self.clause}/{self.label}" if self.label else self.clause

    @property
    def verdict(self) -> str:
        """Return errored where there was nothing to compare, else nonconformant."""
        return ERRORED if self.mismatch.errored else NONCONFORMANT


@dataclass
class Result:
    """What came of one probe."""

    probe: Probe
    verdict: str = NOT_RUN
    findings: list[Finding] = field(default_factory=list)
    advice: list[Finding] = field(default_factory=list)  # of SHOULD clauses, which bind ours alone
    planned: int = 0
    run: int = 0
    choice: str = ""  # what was chosen at a kink where the spec chooses otherwise, with OTHER_CHOICE
    obscured: int = 0  # cases whose fault is for another probe to name
    worst: dict[str, dict[str, float]] = field(default_factory=dict)  # part -> dtype -> worst share of the budget
    grade: str = "direct"
    reason: str = ""
    seconds: float = 0.0
