"""The command line: `lossproof certify`, `lossproof alarms`, `lossproof explore`, `lossproof spec`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lossproof.conformance import scope, summary, terminal
from lossproof.conformance.alarms import hunt, hunts
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.endings import Commands, Word
from lossproof.conformance.endings import end as _nothing
from lossproof.conformance.explore import explore, kept
from lossproof.conformance.implementation import FRAMEWORKS
from lossproof.conformance.known_failures import KnownFailuresError, load
from lossproof.conformance.run import certify
from lossproof.conformance.session import SessionError
from lossproof.conformance.settings import NothingToJudge, Settings
from lossproof.conformance.verdict import Result
from lossproof.conformance.words import meant
from lossproof.spec import clauses, functions, page, page_names
from lossproof.spec import losses as losses_of_spec


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lossproof")
def main() -> None:
    """Say what a metric-learning loss means, and judge whether an implementation means the same."""


_FRAMEWORK = click.option(
    "--framework",
    type=Word(FRAMEWORKS),
    help="Framework of the implementation; not needed for our own backends.",
)
_LOSSES = click.option(
    "--loss",
    "losses",
    multiple=True,
    metavar="NAME",
    help=f"Judge this loss or function only; may be given again. A function under another name is judged as it. "
    f"One of {', '.join((*losses_of_spec(), *functions()))}.",
)
_DEVICE = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the rows of a call lie.",
)
_CLAIMS = (
    click.option(
        "--fixed",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option that the function has no parameter for, and the value it works with (eps=0); repeatable.",
    ),
    click.option(
        "--rename",
        multiple=True,
        metavar="OWN=NAME",
        help="A parameter of the function, and the argument of the page that it is (norm_degree=p); repeatable.",
    ),
    click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=VALUE,...",
        help="An option, and the only values that are claimed for it (p=1,2 or dtype=float32); may be given again.",
    ),
)


def _claims(command: Any) -> Any:
    """Add the options that say what a signature cannot."""
    for option in reversed(_CLAIMS):
        command = option(command)
    return command


_EXAMPLES = """\b
Examples:
  lossproof certify my_losses.py:my_triplet --framework torch --loss triplet_margin_loss --fixed eps=0
  lossproof certify optax:losses.triplet_margin_loss --framework jax --rename anchors=anchor
    --rename positives=positive --rename negatives=negative --fixed eps_at=root --fixed reduction=none
"""


@main.command("certify", epilog=_EXAMPLES)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@_FRAMEWORK
@click.option(
    "--command",
    default="",
    metavar="COMMAND",
    help="Judge a program that speaks the protocol, for instance 'node port.mjs'.",
)
@_LOSSES
@_claims
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME",
    help=f"Run this check only; may be given again. One of {', '.join(CHECKS)}.",
)
@_DEVICE
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same cases.")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Structures a probe; scales the effort.",
)
@click.option(
    "--known-failures",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Findings that are declared, with reasons (TOML).",
)
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
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds for one case.",
)
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
    folder: Path,
    gate: str,
    **options: Any,
) -> None:
    """Judge each TARGET: torch, tensorflow, jax, numpy, module:object or file.py:object.

    Exit status 0: something was judged, all that was planned ran, and all of it is conformant, another legal choice,
    unsupported or known-failing. 1: something is nonconformant or errored, or a known failure is stale. 2: nothing to
    judge (a loss that answers no plain call is shown with its traceback), or the plan could not be completed. With
    --gate only clauses of the classes that it names count, for instance --gate value,gradient where missing argument
    checks are accepted.
    """
    console = _console()
    try:
        gated = scope.gate(gate)
    except scope.GateError as problem:
        _nothing(str(problem))
    if bool(targets) == bool(command):
        _nothing("name one or more targets, or a --command")
    certificates, pages = [], []
    for target in targets or (command,):
        own = target in FRAMEWORKS and not command
        _is_complete(target, framework, command)
        if (own or command) and (options["fixed"] or options["rename"] or options["limits"]):
            who = "a program says these in its hello" if command else "our own backends offer all of each page"
            _nothing(f"--fixed, --rename and --limit are for functions in Python: {who}")
        settings = Settings(
            target=target, framework=target if own else framework or "", command=command, report=folder, **options,
        )  # fmt: skip
        try:
            settings = replace(settings, known=load(known_failures) if known_failures else ())
            certificate = _with_progress(settings, console)
        except (NothingToJudge, KnownFailuresError, SessionError) as problem:
            _nothing(str(problem), getattr(problem, "details", ""))
        terminal.show_findings(certificate, console)
        certificates.append(certificate)
        pages.append(str(folder / settings.slug / "certificate.html"))
    for certificate, where in zip(certificates, pages, strict=True):
        console.print()
        terminal.show_verdict(certificate, console, where)
    raise SystemExit(_status(certificates, gated, console))


def _console() -> Console:
    """Return the console of this terminal, or one of a width that a log can show."""
    return Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 100)


def _status(certificates: list[dict[str, Any]], gated: tuple[str, ...], console: Console) -> int:
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
        console.print(f"gate {', '.join(gated)}: {', '.join(words[status] for status in found)}", highlight=False)
    return 2 if 2 in found else max(found)


def _is_complete(target: str, framework: str | None, command: str) -> None:
    """End where a target is none, or where nobody said which framework it is written in."""
    if command or target in FRAMEWORKS:
        return
    if ":" not in target:
        known = "torch, tensorflow, jax, numpy, module:object or file.py:object"
        _nothing(f"{target!r} is no target: {known}{meant(target, FRAMEWORKS)}")
    if framework is None:
        _nothing(f"{target}: which framework? give --framework")


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

        return certify(settings, advance, lambda count: progress.update(task, total=count))


@main.command("alarms")
@click.argument("target")
@_FRAMEWORK
@_LOSSES
@_claims
@_DEVICE
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Fresh cases to judge for each loss.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Over at least this many seeds.",
)
@click.option(
    "--first-seed", type=int, default=1000, show_default=True, help="The first of the seeds, which follow one another."
)
def alarms_command(
    target: str,
    framework: str | None,
    losses: tuple[str, ...],
    device: str,
    cases: int,
    seeds: int,
    first_seed: int,
    **claims: Any,
) -> None:
    """Judge a correct implementation on fresh seeds in a warm worker, and count the alarms. Exit status 1 on any.

    The target `variants` stands for correct losses, written differently on purpose; those of a loss share its cases and
    its seeds.
    """
    console, alarms = Console(), 0
    if target != "variants":
        _is_complete(target, framework, "")
    settings = Settings(
        target=target, framework=framework or target, losses=losses, device=device, seed=first_seed, **claims
    )
    try:
        for own, own_cases, own_seeds in hunts(settings, cases, seeds):
            name = own.target.rpartition(":")[2] or own.target
            with console.status(f"{name}: fresh cases") as status:
                found = hunt(own, own_cases, own_seeds, status.update)
            console.print(f"{name}: {found.summary()}", highlight=False, soft_wrap=True)
            for finding in found.findings:
                console.print(finding, markup=False, soft_wrap=True)
            alarms += len(found.findings)
    except (NothingToJudge, SessionError) as problem:
        _nothing(str(problem), getattr(problem, "details", ""))
    raise SystemExit(1 if alarms else 0)


@main.command("explore")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@_FRAMEWORK
@_LOSSES
@_claims
@_DEVICE
@click.option(
    "--cases", type=click.IntRange(min=1), default=500, show_default=True, help="Cases for each loss and dtype."
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed climbs the same way.")
@click.option("--keep", is_flag=True, help="Add the worst cases to spec/vectors/ of this checkout.")
def explore_command(targets: tuple[str, ...], framework: str | None, cases: int, keep: bool, **options: Any) -> None:
    """Climb towards the worst errors of each TARGET; exit status 1 where one is beyond its budget."""
    console, folder, found = _console(), Path("spec/vectors"), []
    for target in targets:
        _is_complete(target, framework, "")
    if keep and not folder.is_dir():
        _nothing("--keep writes spec/vectors/: run it in a checkout")
    try:
        for target in targets:
            with console.status(f"{target}: climbing"):
                found += explore(Settings(target=target, framework=framework or target, **options), cases)
    except (NothingToJudge, SessionError) as problem:
        _nothing(str(problem), getattr(problem, "details", ""))
    console.print(terminal.worst_table(found))
    for worst in (worst for worst in found if worst.share > 1):
        console.print(f"{worst.loss}, {worst.part}, {worst.dtype}: beyond its budget", highlight=False)
        console.print(worst.reproduce, markup=False, highlight=False, soft_wrap=True)
    if keep:
        for worst, name in kept(found, folder, datetime.now(UTC).date().isoformat()):
            console.print(f"{worst.loss}, {worst.part}: {name or 'no vector: not a plain case'}", highlight=False)
    raise SystemExit(1 if any(worst.share > 1 for worst in found) else 0)


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
        _nothing(f"no page, loss, function or clause {name!r}; pages: {', '.join(page_names())}{near}")
