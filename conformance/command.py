"""The command line: `lossproof certify`, `ask`, `diff`, `identify` and `spec`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.command_ask import ask_command
from lossproof.conformance.command_diff import diff_command
from lossproof.conformance.command_endings import Commands, end
from lossproof.conformance.command_identify import identify_command
from lossproof.conformance.command_options import (
    DEVICE,
    EXAMPLES,
    FORMAT,
    FRAMEWORK,
    KNOWN,
    LOSSES,
    SEED,
    TIME_LIMIT,
    WRITTEN,
    claimed,
    console_of,
    is_complete,
)
from lossproof.conformance.host.implementation import FRAMEWORKS
from lossproof.conformance.host.session import SessionError
from lossproof.conformance.host.words import meant
from lossproof.conformance.judge.results import Result
from lossproof.conformance.report import markdown, scope, summary, terminal
from lossproof.conformance.report.known_failures import KnownFailuresError, load
from lossproof.conformance.run import certify
from lossproof.conformance.settings import NothingToJudge, Settings
from lossproof.spec import clauses, page, page_names


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lossproof")
def main() -> None:
    """Say what a metric-learning loss means, and judge whether an implementation means the same."""


main.add_command(ask_command)
main.add_command(diff_command)
main.add_command(identify_command)

_EXAMPLES = """\b
Examples:
  lossproof certify my_losses.py:my_triplet --framework torch --loss triplet_margin_loss --fixed eps=0
  lossproof certify optax:losses.triplet_margin_loss --framework jax --rename anchors=anchor
    --rename positives=positive --rename negatives=negative --fixed eps_at=root --fixed reduction=none
"""


@main.command("certify", epilog=_EXAMPLES)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@FRAMEWORK
@click.option(
    "--command",
    default="",
    metavar="COMMAND",
    help="Judge a program that speaks the protocol, for instance 'node port.mjs'.",
)
@LOSSES
@claimed
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME",
    help=f"Run this check only; may be given again. One of {', '.join(CHECKS)}.",
)
@DEVICE
@SEED
@EXAMPLES
@KNOWN
@WRITTEN
@click.option(
    "--gate",
    default=",".join(scope.CLASSES),
    show_default=True,
    metavar="CLASSES",
    help="Classes of clauses that decide the exit status; the verdict is the same.",
)
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("certificates"),
    show_default=True,
    help="Folder for certificates (JSON), pages (HTML) and JUnit files.",
)
@FORMAT
@TIME_LIMIT
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    show_default="one a processor, up to 4; 1 on cuda",
    help="Processes that share the work.",
)
def certify_command(
    targets: tuple[str, ...],
    framework: str | None,
    command: str,
    known_failures: Path | None,
    write_known_failures: Path | None,
    folder: Path,
    gate: str,
    shape: str,
    **options: Any,
) -> None:
    """Judge each TARGET: torch, tensorflow, jax, numpy, module:object, file.py or file.py:object.

    Exit status 0: something was judged, all that was planned ran, and all of it is conformant, another legal choice,
    unsupported or known-failing. 1: something is nonconformant or errored, or a known failure is stale. 2: nothing to
    judge (a loss that answers no plain call is shown with its traceback), or the plan could not be completed. With
    --gate only clauses of the classes that it names count, for instance --gate value,gradient where missing argument
    checks are accepted.
    """
    console = console_of(shape)
    try:
        gated = scope.gate(gate)
    except scope.GateError as problem:
        end(str(problem))
    if bool(targets) == bool(command):
        end("name one or more targets, or a --command")
    if write_known_failures and len(targets) > 1:
        end(f"--write-known-failures: a file is about one target, got {len(targets)}")
    certificates, pages = [], []
    for target in targets or (command,):
        own = target in FRAMEWORKS and not command
        is_complete(target, framework, command)
        if (own or command) and (options["fixed"] or options["rename"] or options["limits"]):
            who = "a program says these in its hello" if command else "our own backends offer all of each page"
            end(f"--fixed, --rename and --limit are for functions in Python: {who}")
        settings = Settings(
            target=target, framework=target if own else framework or "", command=command, report=folder,
            write_known=write_known_failures, **options,
        )  # fmt: skip
        try:
            settings = replace(settings, known=load(known_failures) if known_failures else ())
            certificate = _with_progress(settings, console)
        except (NothingToJudge, KnownFailuresError, SessionError) as problem:
            end(str(problem), getattr(problem, "details", ""))
        if shape == "markdown":
            click.echo(markdown.text(certificate))
        else:
            terminal.show_findings(certificate, console)
        certificates.append(certificate)
        pages.append(str(folder / settings.slug / "certificate.html"))
    for certificate, where in zip(certificates, pages, strict=True) if shape == "text" else ():
        console.print()
        terminal.show_verdict(certificate, console, where)
    raise SystemExit(_status(certificates, gated))


def _status(certificates: list[dict[str, Any]], gated: tuple[str, ...]) -> int:
    """Return the exit status of some certificates: 2 where one was not judged, else 1 where one fails."""
    found = [scope.status(certificate, gated) for certificate in certificates]
    for certificate, status in zip(certificates, found, strict=True):
        if status == 2:
            judged = scope.judgement(certificate) != "not run"
            why = f"nothing of class {' or '.join(gated)} was judged" if judged else summary.sentence(certificate)
            line = f"lossproof: {certificate['target']}: {why.removeprefix('not run: ')}"
            Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
    if gated != scope.CLASSES:
        words = {0: "passed", 1: "failed", 2: "not judged"}
        click.echo(f"gate {', '.join(gated)}: {', '.join(words[status] for status in found)}")
    return 2 if 2 in found else max(found)


def _with_progress(settings: Settings, console: Console) -> dict[str, Any]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(escape(settings.target), total=None, last="starting")

        def advance(result: Result) -> None:
            progress.update(task, advance=1, last=f"{result.probe.check}/{result.probe.clause}")

        def note(words: str) -> None:
            console.print(words, markup=False, highlight=False, soft_wrap=True)

        return certify(settings, advance, lambda count: progress.update(task, total=count), note)


@main.command("spec")
@click.argument("name", required=False, metavar="[PAGE | LOSS | FUNCTION | CLAUSE]")
def spec_command(name: str | None) -> None:
    """Print a page or a clause of the spec, or the list of both; a loss or a function is found on its page."""
    homes = {word: own for own in page_names() for word in (page(own).front.get("loss", own), *page(own).functions)}
    if name is None:
        for page_name in page_names():
            click.echo(f"{page_name}: {', '.join(page(page_name).clauses)}")
    elif name in page_names() or name in homes:
        click.echo(page(homes.get(name, name)).text)
    elif name.upper() in clauses():
        clause = clauses()[name.upper()]
        click.echo(f"{clause.id} · {clause.level} · {clause.kind} · {clause.title}\n\n{clause.text}")
    else:
        near = meant(name, (*page_names(), *homes, *clauses()))
        end(f"no page, loss, function or clause {name!r}; pages: {', '.join(page_names())}{near}")
