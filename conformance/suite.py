"""The clauses of one target as tests of the library that it is from: one process, asked as far as the tests need it.

The first test starts the process; it ends with the module of the tests, and what a probe said is kept.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lossproof.conformance.host.session import Session, SessionError
from lossproof.conformance.host.targets import split
from lossproof.conformance.judge.results import UNSUPPORTED, Finding, Result
from lossproof.conformance.outcome import outcome
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.plugin import Judging
from lossproof.conformance.report import known_failures, terminal
from lossproof.conformance.report.certificate import finding_entry
from lossproof.conformance.report.known_failures import KnownFailuresError
from lossproof.conformance.settings import NothingToJudge, Settings, command_of, incomplete, planned
from lossproof.spec import clauses, functions, losses

NOTHING = "target"  # the name of the one test where nothing can be asked: it says why


class Suite:
    """What is asked of one target, clause by clause.

    Args:
        settings: as those of a run; where no loss is named, it is the one that the target is called like.
        known: the file of known failures, seen from the folder of the tests; nothing where there is none.
    """

    def __init__(self, settings: Settings, known: str = ""):
        name = split(settings.target)[2].rpartition(".")[2]
        asked = settings.losses or [known for known in (*losses(), *functions()) if known == name]
        self.settings, self.known, self.trouble = replace(settings, losses=asked), known, ""
        self.probes: dict[str, list[Probe]] = {NOTHING: []}
        try:
            self.probes = _by_clause(_asked_for(self.settings))
        except NothingToJudge as problem:
            self.trouble = str(problem)
        self._judging: Judging | None = None
        self._results: dict[str, Result] = {}
        self._entries: Sequence[Mapping[str, Any]] = ()
        self._hello: Mapping[str, Any] = {}

    def test(self, name: str, module: pytest.Module) -> None:
        """Ask what belongs to one clause; the verdict is pytest's outcome."""
        try:
            results = self._ask(self.probes[name], module)
            stale = known_failures.stale(self._declared(results), results)
            if stale:  # unless a probe of another clause still finds it, as in a whole run
                loss = results[0].probe.loss
                every = [probe for probes in self.probes.values() for probe in probes if probe.loss == loss]
                stale = known_failures.stale(stale, self._ask(every, module))
        except (NothingToJudge, SessionError, KnownFailuresError) as problem:
            self.trouble = str(problem)  # of every other test too; what the implementation said is shown once
            pytest.fail("\n".join(filter(None, (self.trouble, getattr(problem, "details", "")))), pytrace=False)
        outcome(results, self._said, [f"{entry['finding']} of {self.known}" for entry in stale])

    def close(self) -> None:
        """End the process; a test that asks more starts another."""
        if self._judging:
            self._judging.session.close()
        self._judging = None

    def _declared(self, results: Sequence[Result]) -> list[Mapping[str, Any]]:
        """Return the known failures that are declared for the clause of some results."""
        asked = {(result.probe.loss, result.probe.clause) for result in results}
        return [entry for entry in self._entries if (entry["loss"], entry["finding"].split("/")[0]) in asked]

    def _ask(self, probes: Sequence[Probe], module: pytest.Module) -> list[Result]:
        """Return what came of some probes; what was asked before is not asked again."""
        if self.trouble:
            raise NothingToJudge(self.trouble)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a library's filters are not about the judge
            for probe in probes:
                if probe.name not in self._results:
                    self._results[probe.name] = self._result(self._judging or self._open(module), probe)
        return [self._results[probe.name] for probe in probes]

    def _result(self, judging: Judging, probe: Probe) -> Result:
        if probe.loss in judging.judge.offers:
            return judging.judged(probe)
        return Result(probe, UNSUPPORTED, reason=f"{self.settings.target} has no {probe.loss}")

    def _open(self, module: pytest.Module) -> Judging:
        """Return the judge of a process, which ends with the module of the tests."""
        folder, (name, colon, attribute) = module.path.parent, self.settings.target.partition(":")
        target = f"{folder / name}{colon}{attribute}" if name.endswith(".py") else self.settings.target
        self._entries = known_failures.load(folder / self.known) if self.known else ()
        settings = replace(self.settings, target=target, known=self._entries)
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)  # it imports what the tests can
        session = Session(command_of(settings), time_limit=settings.time_limit, environment={"PYTHONPATH": paths})
        module.addfinalizer(session.close)
        module.addfinalizer(self.close)
        self._judging, self._hello = Judging(settings, session), session.hello
        if not self._judging.probes:
            raise NothingToJudge(f"{settings.target or settings.command} has no {' or '.join(settings.losses)}")
        return self._judging

    def _said(self, finding: Finding) -> str:
        run = {"target": self.settings.command or self.settings.target, "ours": self.settings.ours}
        return terminal.text_of(finding_entry(finding, self._hello, run))


def _asked_for(settings: Settings) -> list[Probe]:
    """Return the probes of a target; NothingToJudge where it is none, or where nobody said which loss it is."""
    lacking = incomplete(settings, "give framework=")
    if lacking or not settings.losses:
        raise NothingToJudge(lacking or f"{settings.target or settings.command}: which loss of the spec? give loss=")
    return planned(settings)


def _by_clause(probes: Sequence[Probe]) -> dict[str, list[Probe]]:
    """Return the probes by the name of their test: the clause, and the loss before it where there are several.

    The clauses of a loss' own page come first.
    """
    several = len({probe.loss for probe in probes}) > 1
    order = {name: place for place, name in enumerate(clauses())}

    def place(probe: Probe) -> tuple[bool, int]:
        return probe.loss in losses() and probe.clause not in losses()[probe.loss].clauses, order[probe.clause]

    found: dict[str, list[Probe]] = {}
    for probe in sorted(probes, key=place):
        found.setdefault(f"{probe.loss}-{probe.clause}" if several else probe.clause, []).append(probe)
    return found
