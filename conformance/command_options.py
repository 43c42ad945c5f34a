"""What the commands share: the options that say what is judged, and the console that they write to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lossproof.conformance.command_endings import Word, WordOrPlace, end
from lossproof.conformance.host.implementation import FRAMEWORKS
from lossproof.conformance.settings import Settings, incomplete
from lossproof.spec import functions, losses

FRAMEWORK = click.option(
    "--framework",
    type=WordOrPlace(FRAMEWORKS),
    help="Framework of the implementation, or module:class of an adapter for another one; not needed for our backends.",
)
LOSSES = click.option(
    "--loss",
    "losses",
    multiple=True,
    metavar="NAME",
    help=f"Judge this loss or function only; may be given again. A function under another name is judged as it. "
    f"One of {', '.join((*losses(), *functions()))}.",
)
DEVICE = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the rows of a call lie.",
)
SEED = click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same cases.")
EXAMPLES = click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Structures a probe; scales the effort.",
)
TIME_LIMIT = click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds for one case.",
)
KNOWN = click.option(
    "--known-failures",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Findings that are declared, with reasons (TOML).",
)
WRITTEN = click.option(
    "--write-known-failures",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what is found as known failures (TOML), their reasons to be filled in. An entry that the file has, and "
    "that still fails or was not asked about, stays as it is; one that does not fail any more goes.",
)
FORMAT = click.option(
    "--format",
    "shape",
    type=Word(("text", "markdown")),
    default="text",
    show_default=True,
    help="What is printed: text, or Markdown for the summary of a CI job, and all else on standard error.",
)
CLAIMS = (
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


def claimed(command: Any) -> Any:
    """Add the options that say what a signature cannot."""
    for option in reversed(CLAIMS):
        command = option(command)
    return command


def console_of(shape: str = "text") -> Console:
    """Return the console of this terminal, or one of a width that a log can show.

    Where Markdown is printed, it is that of standard error.
    """
    stream = sys.stdout if shape == "text" else sys.stderr
    width = None if stream.isatty() or os.environ.get("COLUMNS") else 100
    return Console(width=width, stderr=shape != "text")


def is_complete(target: str, framework: str | None, command: str) -> None:
    """End where a target is none, or where nobody said which framework it is written in."""
    lacking = incomplete(Settings(target, framework or "", command), "give --framework")
    if lacking:
        end(lacking)
