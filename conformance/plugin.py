"""How pytest walks the plan: in this process, or shared by the processes of pytest-xdist.

The process that judges a probe hangs the result on pytest's report; the process that was started by the user takes it
from there, whichever process that was.
"""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.session import Session
from lossproof.conformance.judge.first_questions import answer_to_functions
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import OTHER_CHOICE, Result
from lossproof.conformance.plan.plan import losses_known
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.report import known_failures
from lossproof.conformance.report.certificate import probe_entry
from lossproof.conformance.report.files import atomic
from lossproof.conformance.settings import Settings, command_of, planned
from lossproof.spec import functions

_RESULT = pytest.StashKey[Result]()


class Judging:
    """Runs the probes of a plan against one session."""

    def __init__(self, settings: Settings, session: Session):
        found = losses_known(settings.losses)
        self.settings, self.session = settings, session
        self.judge = Judge.of(
            session,
            found,
            ours=settings.ours,
            exact_only=settings.exact_only,
            seed=settings.seed,
            examples=settings.examples,
        )
        if not settings.ours:
            answer_to_functions(session, settings.losses or functions())
        self.probes = [p for p in planned(settings) if p.loss in self.judge.offers]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of each probe."""
        if "probe" in metafunc.fixturenames:
            metafunc.parametrize("probe", self.probes, ids=[probe.name for probe in self.probes])

    def judged(self, probe: Probe) -> Result:
        """Return what came of a probe, known-failing where all that it found is declared."""
        result = self.judge.run(probe, CHECKS[probe.check])
        known_failures.apply(self.settings.known, [result])
        return result

    @pytest.fixture
    def verdict(self, request: pytest.FixtureRequest) -> Callable[[Probe], Result]:
        """Return the function that judges a probe."""

        def noted(probe: Probe) -> Result:
            result = self.judged(probe)
            if result.choice:
                request.node.user_properties.append((OTHER_CHOICE, result.choice))
            request.node.stash[_RESULT] = result
            return result

        return noted

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hang the result on the report, as text: reports travel between processes."""
        report: Any = yield
        if report.when == "call" and _RESULT in item.stash:
            report.lossproof = base64.b64encode(pickle.dumps(item.stash[_RESULT])).decode()
        return report

    def pytest_unconfigure(self) -> None:
        """End the process of the implementation."""
        self.session.close()


class Collecting:
    """Takes the results, and has each on disk before the next is known."""

    def __init__(self, settings: Settings, folder: Path, progress: Callable[[Result], None]):
        self.settings, self.progress = settings, progress
        self.results: list[Result] = []
        self.interrupted = False
        self.log = folder / "probes.jsonl"
        atomic(self.log, "")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the result of one probe."""
        if not hasattr(report, "lossproof"):
            return
        result = pickle.loads(base64.b64decode(report.lossproof))
        self.results.append(result)
        with self.log.open("ab", buffering=0) as log:  # in one piece: no reader sees half a line
            log.write(json.dumps(probe_entry(result)).encode() + b"\n")
        self.progress(result)

    def pytest_keyboard_interrupt(self) -> None:
        """Note that whoever runs this has had enough."""
        self.interrupted = True

    def all_of(self, probes: Sequence[Probe]) -> list[Result]:
        """Return the results in the order of the plan; a probe without one met a fault of the judge."""
        found = {result.probe.name: result for result in self.results}
        missing = "the judge failed here; junit.xml has its traceback"
        return [found.get(probe.name) or Result(probe, reason=missing) for probe in probes]


class Sharing:
    """Tells the processes of pytest-xdist what to judge."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def pytest_configure_node(self, node: Any) -> None:
        """Hand the settings to one process."""
        node.workerinput["lossproof"] = base64.b64encode(pickle.dumps(self.settings)).decode()


def pytest_configure(config: pytest.Config) -> None:
    """Begin a session of our own in each process of pytest-xdist."""
    given = getattr(config, "workerinput", {}).get("lossproof")
    if given is not None:
        settings: Settings = pickle.loads(base64.b64decode(given))
        session = Session(command_of(settings), time_limit=settings.time_limit)
        config.pluginmanager.register(Judging(settings, session))
