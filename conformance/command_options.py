"""What the commands share: the options that say what is judged, and the console that they write to."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from rich.console import Console

from lossproof.conformance.command_endings import WordOrPlace, end
from lossproof.conformance.host.implementation import FRAMEWORKS
from lossproof.conformance.host.words import meant
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


def console_of() -> Console:
    """Return the console of this terminal, or one of a width that a log can show."""
    return Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 100)


def is_complete(target: str, framework: str | None, command: str) -> None:
    """End where a target is none, or where nobody said which framework it is written in."""
    if command or target in FRAMEWORKS:
        return
    if ":" not in target:
        known = "torch, tensorflow, jax, numpy, module:object or file.py:object"
        end(f"{target!r} is no target: {known}{meant(target, FRAMEWORKS)}")
    if framework is None:
        end(f"{target}: which framework? give --framework")
