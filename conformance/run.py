"""One run of the judge over one target: pytest walks the plan, every verdict is on disk as soon as it is known."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.session import Session
from lossproof.conformance.judge.results import NOT_RUN, Result
from lossproof.conformance.plugin import Collecting, Judging, Sharing
from lossproof.conformance.report import known_failures, report, scope
from lossproof.conformance.report.certificate import make
from lossproof.conformance.report.known_failures_writing import there, write
from lossproof.conformance.settings import NothingToJudge, Settings, command_of, planned


def certify(
    settings: Settings,
    progress: Callable[[Result], None] = lambda result: None,
    begin: Callable[[int], None] = lambda count: None,
    note: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Judge one target and return its certificate; it is written to its report folder with page, log and JUnit file.

    While it runs, the certificate there says that the plan was not completed; so it does after a crash of the judge.
    """
    start = time.perf_counter()
    planned(settings)  # what is asked for exists, before anything is started or written
    if settings.write_known:
        there(settings.write_known)
    command = command_of(settings)
    folder = (settings.report or Path("certificates")) / settings.slug
    session = Session(command, time_limit=settings.time_limit)
    try:
        judging = Judging(settings, session)
        probes = judging.probes
        if not probes:
            raise NothingToJudge(f"{settings.target} has none of the losses asked for")
        begin(len(probes))
        report.write(make(session.hello, _run(settings, [], start, 2), [], []), folder)
        (folder / "junit.xml").unlink(missing_ok=True)
        collecting, jobs = Collecting(settings, folder, progress), settings.workers(len(probes))
        if jobs == 1:
            code = _pytest([judging, collecting], folder)
        else:
            session.close()  # it has said what it offers; each job starts its own
            code = _pytest([Sharing(settings), collecting], folder, jobs)
    finally:
        session.close()
    if collecting.interrupted:
        raise KeyboardInterrupt  # which pytest takes for a result of its own
    results = collecting.all_of(probes)
    if any(result.verdict == NOT_RUN for result in results):
        code = 2  # a fault of the judge, never of the implementation
    run, stale = _run(settings, results, start, code), known_failures.stale(settings.known, results)
    certificate = make(session.hello, run, results, stale)
    report.write(certificate, folder)
    if settings.write_known and certificate["complete"]:
        note(f"{settings.write_known}: {write(settings.write_known, run['target'], session.hello, results)}")
    return certificate


def _run(settings: Settings, results: list[Result], start: float, code: int) -> dict[str, Any]:
    """Return what a certificate says of the run itself; `code` is pytest's."""
    return {
        "target": settings.command or settings.target,
        "ours": settings.ours,
        "seed": settings.seed,
        "examples": settings.examples,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": code in (0, 1),
        "scope": scope.make(settings.losses, settings.checks, CHECKS, results),
        "cases": sum(result.run for result in results),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _pytest(plugins: list[Any], folder: Path, jobs: int = 1) -> int:
    """Run the plan under pytest, untouched by any configuration of the folder we stand in or of whoever runs it."""
    suite = files("lossproof.conformance")
    arguments = ["-c", str(suite / "pytest.ini"), "--rootdir", str(suite), "--noconftest"]
    arguments += [
        "--import-mode=importlib",
        "-p",
        "no:terminal",
        "-p",
        "no:cacheprovider",
        "-p",
        "lossproof.conformance.plugin",
    ]
    part = folder / f".junit.xml.{os.getpid()}.part"  # it has its name when it is whole
    arguments += [f"--junitxml={part}", "-o", "junit_family=xunit2", "-o", f"junit_suite_name=lossproof {folder.name}"]
    # neighbours in the plan share compiled code, so each job has a stretch of it, and takes from another's end
    arguments += ["-n", str(jobs), "--dist", "worksteal"] if jobs > 1 else ["-p", "no:xdist"]
    arguments += ["--pyargs", "lossproof.conformance.test_conformance"]
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("PYTEST_ADDOPTS", raising=False)
        code = int(pytest.main(arguments, plugins=plugins))
    if part.is_file():
        part.replace(folder / "junit.xml")
    return code
