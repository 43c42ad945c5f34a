"""How the command line ends where it cannot go on: exit status 2 and one line, on Ctrl-C and for a slip too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console

from lossproof.conformance.host.words import cut, meant

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:  # which older versions of click do not subscribe
    _Choice = click.Choice


def end(reason: str, details: str = "") -> NoReturn:
    """End with exit status 2 and one line; below it what an implementation said, as it said it."""
    console = Console(stderr=True)
    for text in (f"lossproof: {cut(' '.join(reason.split()))}", details):
        if text:
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(2)


class Commands(click.Group):
    """Commands that know what was meant, and that end like any other run when they are interrupted."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C is an end in one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            end("interrupted; what was judged until then is in probes.jsonl of the report folder")

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; the nearest name is in the message where there is none."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            names = self.list_commands(ctx)
            end(f"no command {args[0]!r}; there are {', '.join(names)}{meant(args[0], names)}")
        return super().resolve_command(ctx, args)


class Word(_Choice):
    """A choice among words that says which was meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; end where it is none of them."""
        if value not in self.choices:
            name = param.opts[0] if param else "the word"
            end(f"{name} {value!r} must be one of {self.known}{meant(str(value), self.choices)}")
        return str(value)

    @property
    def known(self) -> str:
        """Return the words that there are, as a message lists them."""
        return ", ".join(self.choices)


class WordOrPlace(Word):
    """A choice among words, or module:class, which is looked for later."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word, or the place; end where it is neither."""
        return str(value) if ":" in str(value).strip(":") else super().convert(value, param, ctx)

    @property
    def known(self) -> str:
        """Return the words that there are, and that a place is taken too."""
        return f"{super().known}, or module:class"
