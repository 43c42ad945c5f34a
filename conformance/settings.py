"""What a run is asked to do, and which probes that means."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import FRAMEWORKS
from lossproof.conformance.host.session import worker_command
from lossproof.conformance.host.targets import split
from lossproof.conformance.host.words import meant
from lossproof.conformance.plan.plan import everything
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.report.scope import slug
from lossproof.spec import functions, losses

SHARE = 40  # probes that are worth another process: below, its start-up costs more than it saves
MOST = 4  # jobs that are started unasked: each holds the framework in memory


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
    fixed: Sequence[str] = ()  # NAME=VALUE of a Python implementation, as `Implementation` says it
    rename: Sequence[str] = ()
    limits: Sequence[str] = ()
    device: str = "cpu"
    seed: int = 0
    examples: int = 6
    time_limit: float = 120.0
    jobs: int | None = None  # None: as many as there are processors, up to MOST
    known: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    write_known: Path | None = None  # where the findings become known failures, their reasons to be filled in
    report: Path | None = None

    @property
    def ours(self) -> bool:
        """Whether the target is one of this project's own backends."""
        return not self.command and self.target in FRAMEWORKS

    @property
    def exact_only(self) -> bool:
        """Whether the target is the reference, which the second oracle alone may judge."""
        return self.ours and self.target == "numpy"

    @property
    def claims(self) -> list[str]:
        """Return what the command line says of a Python implementation, as options of its worker."""
        said = {"--fixed": self.fixed, "--rename": self.rename, "--limit": self.limits}
        return [f"{option}={text}" for option, texts in said.items() for text in texts]

    @property
    def slug(self) -> str:
        """Return the target and the scope as the name of a folder."""
        return slug(self.target, self.losses, self.checks, list(CHECKS), self.device)

    def workers(self, probes: int) -> int:
        """Return how many processes shall share this many probes; one where a device is shared already."""
        if self.jobs is not None:
            return min(self.jobs, max(probes, 1))
        return 1 if self.device != "cpu" else max(1, min(os.cpu_count() or 1, MOST, probes // SHARE))


def incomplete(settings: Settings, advice: str) -> str:
    """Return why a target is none, or that nobody said which framework it is written in, in one line; or nothing."""
    target, framework = settings.target, settings.framework
    if settings.command or target in FRAMEWORKS:
        return ""
    if not split(target)[1]:
        known = "torch, tensorflow, jax, numpy, module:object, file.py or file.py:object"
        return f"{target!r} is no target: {known}{meant(target, FRAMEWORKS)}"
    if not framework:
        return f"{target}: which framework? {advice}"
    if framework not in FRAMEWORKS and ":" not in framework:  # module:class is an adapter of another one
        known = ", ".join(FRAMEWORKS)
        return f"framework {framework!r} must be one of {known}, or module:class{meant(framework, FRAMEWORKS)}"
    return ""


def planned(settings: Settings) -> list[Probe]:
    """Return the probes that the settings ask for; NothingToJudge names a loss or check that does not exist."""
    known = (*losses(), *functions())
    for loss in settings.losses:
        if loss not in known:
            raise NothingToJudge(f"no loss {loss!r}; the spec has {', '.join(known)}{meant(loss, known)}")
    for check in settings.checks:
        if check not in CHECKS:
            raise NothingToJudge(f"no check {check!r}; there are {', '.join(CHECKS)}{meant(check, CHECKS)}")
    asked = settings.losses or known
    return [p for p in everything() if p.loss in asked and (not settings.checks or p.check in settings.checks)]


def command_of(settings: Settings) -> list[str]:
    """Return the command that starts the implementation."""
    if not settings.command:
        return worker_command(settings.target, settings.framework, settings.device, settings.losses, settings.claims)
    try:
        command = shlex.split(settings.command)
    except ValueError as problem:
        raise NothingToJudge(f"--command {settings.command!r}: {problem}") from problem
    if not command:
        raise NothingToJudge("--command is empty")
    return command
