"""`lossproof diff`: the smallest case on which two implementations differ, and the clause that separates them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from lossproof.conformance.command_endings import end
from lossproof.conformance.command_options import DEVICE, EXAMPLES, LOSSES, SEED, TIME_LIMIT, claimed, console_of
from lossproof.conformance.command_targets import COMMANDS, FRAMEWORKS_OF_TARGETS, known_losses, opened
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.host.session import SessionError
from lossproof.conformance.host.words import shown
from lossproof.conformance.judge.judge import Crashed
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.plan import losses_known
from lossproof.conformance.side_by_side.batch import on_batch
from lossproof.conformance.side_by_side.batch_file import BatchError, read_batch
from lossproof.conformance.side_by_side.offers import Incomparable
from lossproof.conformance.side_by_side.pair import BOTH, Answers, Pair
from lossproof.conformance.side_by_side.search import probes, search
from lossproof.conformance.side_by_side.sides import Side
from lossproof.conformance.side_by_side.tables import show_case, show_difference


@click.command("diff")
@click.argument("targets", nargs=-1, metavar="A B")
@FRAMEWORKS_OF_TARGETS
@COMMANDS
@LOSSES
@claimed
@click.option(
    "--batch",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.npz",
    help="Compare them on these arrays, which are named as the inputs of the page are, and say which rows differ.",
)
@DEVICE
@SEED
@EXAMPLES
@TIME_LIMIT
def diff_command(
    targets: tuple[str, ...], commands: tuple[str, ...], losses: tuple[str, ...], batch: Path | None,
    seed: int, examples: int, **options: Any,
) -> None:  # fmt: skip
    """Show the smallest case on which A and B differ beyond the budgets of both, and the clause that separates them.

    A and B are targets of `lossproof certify`, and may say options that each of their calls is given:
    "numpy(swap=true, margin=0.5)". Such an option is left to its default in the other; any other option that both have
    is varied, and given to both alike. What a claim says holds for both unless a letter stands before it: A.eps=0.

    Where one option of the page, changed alone, turns the one into the other on this case and on fresh ones, its clause
    is named. Else the difference is "from the page", where one of them equals it, or "not by one option".

    Exit status 0: no difference was found. 1: they differ. 2: there is nothing to compare.
    """
    if len(targets) + len(commands) != 2:
        end(f"name two implementations, A and B, got {len(targets) + len(commands)}")
    known_losses(losses)
    console = console_of()
    with opened(targets, commands, names=losses, **options) as (one, other):
        try:
            pair = _pair(one, other, losses, seed=seed, examples=examples)
            if batch is not None:
                raise SystemExit(_on_batch(pair, (one, other), batch, console))
            found = [_search(pair, (one, other), loss, console) for loss in pair.losses]
        except (SessionError, Incomparable, BatchError) as problem:
            end(str(problem), getattr(problem, "details", ""))
        except Crashed as problem:
            end(f"{problem.case.loss}: ended after too many crashes: {problem}")
    for side, words in pair.stopped.items():
        _say(console, f"{side} did not answer every case; first it {words}", "dim")
    raise SystemExit(1 if 1 in found else 0 if 0 in found else 2)


def _pair(one: Side, other: Side, names: tuple[str, ...], **more: int) -> Pair:
    """Return the two as a pair, of the losses that both have."""
    first, second = ([loss for loss in known_losses(names) if loss in s.session.hello["losses"]] for s in (one, other))
    both = [loss for loss in first if loss in second]
    if not both:
        has = " and ".join(f"{s.title} has {', '.join(own) or 'none'}" for s, own in ((one, first), (other, second)))
        raise Incomparable(f"nothing to compare: {has}")
    return Pair.of_sides(one, other, losses_known(both), **more)


def _search(pair: Pair, sides: tuple[Side, Side], loss: str, console: Console) -> int:
    """Compare two by one loss and print what was found; return the exit status."""
    if loss in pair.incomparable:
        _say(console, f"{loss}: not compared: {pair.incomparable[loss]}", "yellow")
        return 2
    before = pair.compared
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(loss, total=sum(1 for _ in probes(pair.losses[loss])))
        found = search(pair, loss, lambda: progress.update(task, advance=1))
    if found is None:
        count = pair.compared - before
        _say(console, f"{loss}: no difference found on {count} cases", "bold green" if count else "bold yellow")
        return 0 if count else 2
    _say(console, f"{loss}: they differ; the smallest case", "bold red")
    _show(pair, sides, found.case, found.structure, found.answers, console, whole=True)
    _say(console, found.explanation.sentence, "bold")
    for side in BOTH:
        text = line(sides[side].name, sides[side].session.hello, pair.call(side, found.case, found.structure))
        console.print(Text(f"  {sides[side].letter}: {text}", "cyan"), soft_wrap=True)
    return 1


def _on_batch(pair: Pair, sides: tuple[Side, Side], path: Path, console: Console) -> int:
    """Compare two on a batch and print what was found; return the exit status."""
    if len(pair.losses) > 1:
        raise Incomparable(f"a batch is one of one loss: say which of {', '.join(pair.losses)} by --loss")
    found = on_batch(pair, read_batch(path, next(iter(pair.losses))))
    words, style = ("they differ", "bold red") if found.mismatch else ("no difference", "bold green")
    _say(console, f"{found.case.loss}, {path}: {words}", style)
    _show(pair, sides, found.case, found.structure, found.answers, console, whole=False)
    for sentence in found.sentences:
        _say(console, sentence)
    if found.explanation:
        _say(console, found.explanation.sentence, "bold")
    return 1 if found.mismatch else 0


def _show(
    pair: Pair, sides: tuple[Side, Side], case: Case, structure: Structure, answers: Answers, console: Console,
    *, whole: bool,
) -> None:  # fmt: skip
    """Print a case, what one alone is given, and both answers."""
    given = [pair.call(side, case, structure).parameters for side in BOTH]
    alike = {name: value for name, value in given[0].items() if given[1].get(name) == value}
    if whole:
        show_case(replace(case, parameters=alike), console)
    page = pair.offers[case.loss].parameters
    for side, own in zip(sides, given, strict=True):
        besides = {n: v for n, v in own.items() if n not in alike and v != page[n].get("default")}
        alone = ", ".join(f"{name} = {shown(value)}" for name, value in besides.items())
        if alone:
            _say(console, f"  {side.letter} alone: {alone}")
    show_difference([side.title for side in sides], *pair.entries(case, structure, answers), console)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), highlight=False)
