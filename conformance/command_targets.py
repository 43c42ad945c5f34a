"""The targets of commands that ask several implementations: each is started once, and ended whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from string import ascii_uppercase
from typing import Any

import click

from lossproof.conformance.command_endings import WordOrPlace, end
from lossproof.conformance.command_options import is_complete
from lossproof.conformance.host.implementation import FRAMEWORKS, TargetError
from lossproof.conformance.host.session import Session, SessionError
from lossproof.conformance.host.words import meant
from lossproof.conformance.settings import NothingToJudge, Settings, command_of
from lossproof.conformance.side_by_side.sides import Side, addressed, given_options, split_call
from lossproof.spec import functions, losses

FRAMEWORKS_OF_TARGETS = click.option(
    "--framework",
    "frameworks",
    multiple=True,
    type=WordOrPlace(FRAMEWORKS),
    help="Framework of the implementations, or module:class of an adapter; one for all, or one for each. "
    "Our own need none.",
)
COMMANDS = click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="COMMAND",
    help="A program that speaks the protocol, for instance 'node port.mjs', beside the targets; may be given again.",
)


def known_losses(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the losses that are asked about; end where one is none."""
    for name in names:
        if name not in losses():
            what = "a function that is no loss" if name in functions() else "no loss of the spec"
            end(f"{name!r} is {what}; there are {', '.join(losses())}{meant(name, losses())}")
    return names or tuple(losses())


@contextmanager
def opened(
    targets: tuple[str, ...], commands: tuple[str, ...], frameworks: tuple[str, ...], names: tuple[str, ...],
    device: str, time_limit: float, **claims: tuple[str, ...],
) -> Iterator[list[Side]]:  # fmt: skip
    """Start what was named, and end it afterwards; `names` are the losses that were asked for, or none."""
    if len(targets) + len(commands) > len(ascii_uppercase):
        end(f"{len(targets) + len(commands)} implementations are more than there are letters")
    with ExitStack() as stack:
        sides = []
        try:
            for letter, settings, given in _settings(targets, commands, frameworks, names, device, time_limit, claims):
                session = Session(command_of(settings), time_limit=settings.time_limit)
                stack.callback(session.close)
                name = settings.command or settings.target
                sides.append(Side(letter, name, session, settings.ours, given))
        except (SessionError, NothingToJudge, TargetError) as problem:
            end(str(problem), getattr(problem, "details", ""))
        try:
            yield sides
        except KeyboardInterrupt:
            end("interrupted")


def _settings(
    targets: tuple[str, ...], commands: tuple[str, ...], frameworks: tuple[str, ...], names: tuple[str, ...],
    device: str, time_limit: float, claims: dict[str, tuple[str, ...]],
) -> Iterator[tuple[str, Settings, dict[str, Any]]]:  # fmt: skip
    if any(claims.values()) and all(split_call(target)[0] in FRAMEWORKS for target in targets):
        end("--fixed, --rename and --limit are for functions in Python: our own backends offer all of each page")
    letters, calls = iter(ascii_uppercase), [split_call(target) for target in targets]
    foreign = [place for place, (name, _) in enumerate(calls) if name not in FRAMEWORKS]
    order = dict(zip(foreign if len(frameworks) == len(foreign) else range(len(calls)), frameworks, strict=False))
    if len(frameworks) > 1 and len(frameworks) not in (len(foreign), len(calls)):
        end(f"--framework is given {len(frameworks)} times for {len(foreign)} implementations that need one")
    for place, (name, options) in enumerate(calls):
        letter, own = next(letters), name in FRAMEWORKS
        framework = frameworks[0] if len(frameworks) == 1 else order.get(place)
        is_complete(name, framework, "")
        said: dict[str, Any] = {} if own else {key: addressed(letter, texts) for key, texts in claims.items()}
        settings = Settings(
            name, name if own else framework or "", losses=names, device=device, time_limit=time_limit, **said
        )
        yield letter, settings, given_options(name, options)
    for command in commands:
        yield next(letters), Settings(command, command=command, losses=names, time_limit=time_limit), {}
