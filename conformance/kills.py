"""The suite judged: each mutant must be killed, and by a clause that speaks of its bug."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.implementation import Implementation
from lossproof.conformance.inprocess import InProcess
from lossproof.conformance.judge import Judge
from lossproof.conformance.mutants import Mutant
from lossproof.conformance.offer import offers
from lossproof.conformance.oracle import Oracle
from lossproof.conformance.plan import modules, plan
from lossproof.conformance.verdict import Finding
from lossproof.conformance.worker import adapter_for

COMPILED = {"CV-20", "CV-22"}  # the clauses for which the slow check of modes is run


@dataclass(frozen=True)
class Kill:
    """What became of one mutant."""

    mutant: str
    clause: str | None  # that killed it; None: it survived
    check: str | None
    seconds: float
    wrong: tuple[str, ...] = ()  # clauses named before the right one


@cache
def _adapter() -> Any:
    return adapter_for("torch", "cpu")


def judged(mutant: Mutant, seed: int = 0, examples: int = 20, without: frozenset[str] = frozenset()) -> list[Finding]:
    """Return the findings of the probes of the mutant's clauses, up to the first that names one of its clauses.

    `without` leaves out checks, for instance "examples", to see what the others are worth.
    """
    known = modules()
    implementation = Implementation({mutant.loss: mutant.function}, name=mutant.id)
    session: Any = InProcess(implementation, "torch", _adapter())
    judge = Judge(session, offers(session, known, ours=mutant.ours), Oracle(ours=mutant.ours), known, seed, examples)
    found: list[Finding] = []
    for probe in plan(mutant.loss, known[mutant.loss]):
        if probe.clause not in mutant.clauses or probe.check in without:
            continue
        if probe.check == "compiled" and probe.clause not in COMPILED:
            continue
        for finding in judge.run(probe, CHECKS[probe.check]).findings:
            found.append(finding)
            if finding.clause in mutant.clauses:
                return found
    return found


def kill(mutant: Mutant, seed: int = 0, examples: int = 20, without: frozenset[str] = frozenset()) -> Kill:
    """Judge a mutant and say which clause and which check killed it, if any did."""
    start = time.perf_counter()
    found = judged(mutant, seed, examples, without)
    right = next((finding for finding in found if finding.clause in mutant.clauses), None)
    wrong = tuple(finding.clause for finding in found if finding is not right)
    seconds = time.perf_counter() - start
    if right is None:
        return Kill(mutant.id, None, None, seconds, wrong)
    return Kill(mutant.id, right.clause, right.check, seconds, wrong)
