"""One run of the judge over one target: pytest walks the plan, every verdict is on disk as soon as it is known."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lossproof.conformance import known_failures
from lossproof.conformance.certificate import make, probe_entry
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.implementation import FRAMEWORKS
from lossproof.conformance.judge import Judge
from lossproof.conformance.offer import offers
from lossproof.conformance.oracle import Oracle
from lossproof.conformance.plan import everything, modules
from lossproof.conformance.session import Session, worker_command
from lossproof.conformance.verdict import ERRORED, KNOWN, NONCONFORMANT, UNSUPPORTED, Probe, Result
from lossproof.spec import functions, losses


class NothingToJudge(Exception):
    """The plan is empty or cannot be carried out; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    target: str
    framework: str = ""
    command: str = ""
    losses: Sequence[str] = ()
    checks: Sequence[str] = ()
    device: str = "cpu"
    seed: int = 0
    examples: int = 6
    time_limit: float = 120.0
    known: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    report: Path | None = None

    @property
    def ours(self) -> bool:
        """Whether the target is one of this project's own backends."""
        return not self.command and self.target in FRAMEWORKS

    @property
    def slug(self) -> str:
        """Return the target as the name of a folder."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.target).strip("-")
        return name if len(name) <= 100 else f"{name[:80]}-{hashlib.sha256(self.target.encode()).hexdigest()[:12]}"


class Plugin:
    """The pytest plugin that hands the judge and the plan to the one test function, and collects the results."""

    def __init__(
        self,
        judge: Judge,
        probes: list[Probe],
        settings: Settings,
        folder: Path,
        progress: Callable[[Result], None],
    ):
        self.judge, self.probes, self.settings, self.progress = judge, probes, settings, progress
        self.results: list[Result] = []
        self.log = folder / "probes.jsonl"
        self.log.write_text("", encoding="utf-8")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of each probe."""
        if "probe" in metafunc.fixturenames:
            metafunc.parametrize("probe", self.probes, ids=[probe.name for probe in self.probes])

    @pytest.fixture
    def verdict(self) -> Callable[[Probe], Result]:
        """Return the function that judges a probe and records its result."""

        def judged(probe: Probe) -> Result:
            result = self.judge.run(probe, CHECKS[probe.check])
            known_failures.apply(self.settings.known, [result])
            self.results.append(result)
            with self.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(probe_entry(result)) + "\n")
            self.progress(result)
            return result

        return judged


def outcome(result: Result) -> None:
    """Translate a verdict into pytest's words, which the JUnit file speaks."""
    if result.verdict == UNSUPPORTED:
        pytest.skip(f"unsupported: {result.reason}")
    if result.verdict == KNOWN:
        pytest.xfail("known-failing: " + ", ".join(f.id for f in result.findings))
    if result.verdict in (NONCONFORMANT, ERRORED):
        pytest.fail(
            "\n".join(
                f"{result.verdict}: {f.id}: {f.mismatch.where}: got {f.mismatch.got}, want {f.mismatch.want}"
                for f in result.findings
            ),
            pytrace=False,
        )


def planned(settings: Settings) -> list[Probe]:
    """Return the probes that the settings ask for; NothingToJudge names a loss or check that does not exist."""
    known = (*losses(), *functions())
    for loss in settings.losses:
        if loss not in known:
            raise NothingToJudge(f"no loss {loss!r}; the spec has {', '.join(known)}")
    for check in settings.checks:
        if check not in CHECKS:
            raise NothingToJudge(f"no check {check!r}; there are {', '.join(CHECKS)}")
    asked = settings.losses or known
    return [p for p in everything() if p.loss in asked and (not settings.checks or p.check in settings.checks)]


def certify(
    settings: Settings,
    progress: Callable[[Result], None] = lambda result: None,
    begin: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Judge one target and return its certificate; log and JUnit file are written to its report folder."""
    start = time.perf_counter()
    probes = planned(settings)
    command = _command(settings)
    folder = settings.report or Path("certificates")
    folder = folder / settings.slug
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(command, time_limit=settings.time_limit)
    try:
        found = modules()
        judge = Judge(
            session=session,
            offers=offers(session, found, ours=settings.ours),
            oracle=Oracle(ours=settings.ours, exact_only=settings.target == "numpy" and settings.ours),
            modules=found,
            seed=settings.seed,
            examples=settings.examples,
            grade=str(session.hello.get("grade", "direct")),
        )
        probes = [p for p in probes if p.loss in judge.offers or p.loss in session.hello.get("functions", {})]
        if not probes:
            raise NothingToJudge(f"{settings.target} has none of the losses asked for")
        begin(len(probes))
        plugin = Plugin(judge, probes, settings, folder, progress)
        code = _pytest(plugin, folder)
        if len(plugin.results) < len(probes):  # a fault of the judge, never of the implementation
            unjudged = [p.name for p in probes if p not in [r.probe for r in plugin.results]]
            plugin.results += [
                Result(p, reason="the judge failed here; junit.xml has its traceback")
                for p in probes
                if p.name in unjudged
            ]
            code = 2
    finally:
        session.close()
    run = {
        "target": settings.command or settings.target,
        "ours": settings.ours,
        "seed": settings.seed,
        "examples": settings.examples,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": len(plugin.results) == len(probes) and code in (0, 1),
        "cases": judge.asked,
        "seconds": round(time.perf_counter() - start, 1),
    }
    return make(session.hello, run, plugin.results, known_failures.stale(settings.known, plugin.results))


def _command(settings: Settings) -> list[str]:
    if not settings.command:
        return worker_command(settings.target, settings.framework, settings.device, settings.losses)
    try:
        command = shlex.split(settings.command)
    except ValueError as problem:
        raise NothingToJudge(f"--command {settings.command!r}: {problem}") from problem
    if not command:
        raise NothingToJudge("--command is empty")
    return command


def _pytest(plugin: Plugin, folder: Path) -> int:
    """Run the plan under pytest, untouched by any configuration of the folder we stand in."""
    suite = files("lossproof.conformance")
    arguments = [
        "-c",
        str(suite / "pytest.ini"),
        "--rootdir",
        str(suite),
        "-p",
        "no:terminal",
        "-p",
        "no:cacheprovider",
    ]
    arguments += [
        "--import-mode=importlib",
        f"--junitxml={folder / 'junit.xml'}",
        "-o",
        "junit_family=xunit2",
    ]
    return int(pytest.main([*arguments, "--pyargs", "lossproof.conformance.test_conformance"], plugins=[plugin]))
