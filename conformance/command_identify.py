"""`lossproof identify`: which setting of which page a function is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import click
from rich.console import Console

from lossproof.conformance.command_endings import end
from lossproof.conformance.command_options import (
    DEVICE,
    FRAMEWORK,
    LOSSES,
    SEED,
    TIME_LIMIT,
    console_of,
    is_complete,
)
from lossproof.conformance.command_targets import known_losses
from lossproof.conformance.host.session import Session, SessionError, worker_command
from lossproof.conformance.identify import answer
from lossproof.conformance.identify.corners import Departure, in_order
from lossproof.conformance.identify.search import CLOSE, Found, Match, search
from lossproof.conformance.identify.told import groups_of, tell, what_came_back
from lossproof.spec import losses

SAID = 1e-6  # so near is worth a word
_EXAMPLE = """\b
Example:
  lossproof identify my_losses.py:my_triplet --framework torch
"""


@click.command("identify", epilog=_EXAMPLE)
@click.argument("target")
@FRAMEWORK
@LOSSES
@click.option(
    "--rename",
    multiple=True,
    metavar="OWN=NAME",
    help="A parameter of the function, and the argument of the page that it is; may be given again.",
)
@DEVICE
@SEED
@TIME_LIMIT
def identify_command(
    target: str,
    framework: str | None,
    losses: tuple[str, ...],
    rename: tuple[str, ...],
    device: str,
    seed: int,
    time_limit: float,
) -> None:
    """Say which setting of which page TARGET is: module:function or file.py:function.

    The function is called with arrays alone, so that its options have its own defaults; its parameters may have any
    names. Exit status 0: it is a setting of a page. 1: it is none, and the nearest is shown. 2: nothing was answered.
    """
    is_complete(target, framework, "")
    known_losses(losses)
    claims = ["--unnamed", *(f"--rename={pair}" for pair in rename)]
    console = console_of()
    try:
        session = Session(worker_command(target, framework or target, device, losses, claims), time_limit=time_limit)
    except SessionError as problem:
        end(str(problem), problem.details)
    try:
        found = _search(session, seed)
        if found is None:
            tried = ", ".join(session.hello["losses"])
            end(f"{target} answers no plain call of {tried}: {what_came_back(session, seed)}")
        ordered, departures = in_order(session, found) if found.matches else ([], [])
        if ordered and not ordered[0].candidate.departs:
            _show(target, framework or target, session, ordered, departures, console)
            if ordered[0].is_cut_off(found.dtype):
                within = f"  its answers are within {ordered[0].error:.1e} of that"
                _printer(console)(f"{within}, as of a softplus that is x itself beyond 20 (torch's own is one)")
            raise SystemExit(0)
        _show_nearest(target, session, found, ordered[0] if ordered else found.nearest, console)
        raise SystemExit(1)
    finally:
        session.close()


def _search(session: Session, seed: int) -> Found | None:
    with Console(stderr=True).status("asking") as status:
        told = [one for group in groups_of(session) for one in tell(session, group, seed)]
        return search(told, status.update)


def _show(
    target: str, framework: str, session: Session, ordered: list[Match], departures: list[Departure], console: Console
) -> None:
    best = ordered[0]
    setting = best.candidate.setting(best.numbers)
    say = _printer(console)
    say(f"{target} is {setting.loss} ({losses()[setting.loss].name})")
    say(f"  our call: {answer.call(setting)}")
    for words in answer.around(setting):
        say(f"  with {words}")
    for words in answer.ranges(best):
        say(f"  {words}")
    for other in dict.fromkeys(answer.call(m.candidate.setting(m.numbers)) for m in ordered[1:6]):
        if other != answer.call(setting):
            say(f"  the same on every batch: {other}")
    for dialect in answer.same_as(setting):
        say(f"  as in {dialect.library} ({dialect.versions}): {dialect.name}")
    if not departures:
        say("  no difference was found in the corners of the page either")
    for departure in departures:
        say(f"  differs: {answer.departure(departure)}")
    accepts = session.hello["losses"].get(setting.loss, {}).get("accepts") or ()
    if not setting.convert and not target.endswith(":"):
        claims = " ".join(f"--fixed {claim}" for claim in answer.fixed(best, accepts))
        whole = f"lossproof certify {target} --framework {framework} --loss {setting.loss} {claims}"
        say(f"  to certify it so: {whole.rstrip()}")


def _show_nearest(target: str, session: Session, found: Found, nearest: Match | None, console: Console) -> None:
    say = _printer(console)
    whole = bool(found.matches)
    close = nearest is not None and nearest.error < CLOSE
    say(f"{target}: no setting of a page gives its answers{' to the last digits' * (close and not whole)}")
    if nearest is None:
        rows, shape = next((len(next(iter(b.values()))), a.value.shape) for b, a in found.asked if a.value is not None)
        say(f"  and none comes near: of {rows} {'row' if rows == 1 else 'rows'} it makes an answer of shape {shape}")
        return
    setting = nearest.candidate.setting(nearest.numbers)
    departs = f", but for one thing: {answer.apart(nearest)}" if setting.departs else ""
    say(f"  {'it is' if whole else 'the nearest is'} {answer.call(replace(setting, departs=''))}{departs}")
    for dialect in answer.same_as(setting) if close else ():
        say(f"  as in {dialect.library} ({dialect.versions}): {dialect.name}")
    if nearest.error < SAID and not whole:
        say(f"  its answers are within {nearest.error:.1e} of that, and not within rounding")
    shown = _smallest(found, nearest)
    if shown:
        say(f"  it departs: {shown}")


def _smallest(found: Found, match: Match) -> str:
    """Return the smallest call on which the page's setting gives another number."""
    plain = match.candidate.of_the_page() if match.candidate.departs else match.candidate
    least = SAID if match.candidate.departs else min(SAID, match.error / 2)
    sized = sorted(found.asked, key=lambda pair: sum(array.size for array in pair[0].values()))
    for batch, told in sized:
        if told.value is None:
            continue
        try:
            want = plain.value(batch, match.numbers)
        except (ValueError, TypeError):
            continue
        got = told.value
        if got.shape != want.shape or abs(got - want).max(initial=0.0) > least * max(1.0, abs(want).max(initial=0.0)):
            rows = ", ".join(f"{name}={array.round(6).tolist()}" for name, array in batch.items())
            return f"{rows}: it gives {got.tolist()}, the page's setting {want.tolist()}"
    return ""


def _printer(console: Console) -> Callable[[str], None]:
    return lambda words: console.print(words, markup=False, highlight=False, soft_wrap=True)
