"""What a person sees on the terminal: the findings of a target by class, mathematics first, then one sentence."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from lossproof.conformance.report import scope, summary
from lossproof.conformance.report.formulas import paragraphs, plain

STYLES = {"conformant": "green", "nonconformant": "red", "errored": "red", "not run": "red"}
CLASSES = {"value": "red", "gradient": "red", "interface": "yellow"}


def show_findings(certificate: Mapping[str, Any], console: Console) -> None:
    """Print each finding: clause and text, the smallest case, got, want, and the line that shows it."""
    new, known = summary.unknown(certificate), summary.known(certificate)
    several = len(certificate["scope"]["losses"]) > 1
    if new or known or certificate["fitted"]:
        console.print()
        _print(console, certificate["target"], 0, "bold")
    seen: set[str] = set()
    for kind in scope.CLASSES:
        found = summary.of_class(new, kind)
        if found:
            console.print()
            _print(console, f"{summary.HEADINGS[kind]} ({len(found)})", 0, f"bold {CLASSES[kind]}")
        for place, entry in enumerate(found):
            if place:
                console.print()
            _heading(entry, console, CLASSES[kind], several)
            _show(entry, console, with_text=entry["clause"] not in seen)
            seen.add(entry["clause"])
    for entry in known:
        _print(console, f"known-failing {entry['finding']}: {plain(entry['title'])}", 2, "blue")
    for loss in certificate["fitted"]:
        _print(console, f"fitted {loss}: right on every published vector and wrong on their copies", 0, "bold red")
    for finding in certificate["stale_known_failures"]:
        _print(console, f"stale {finding}: declared as a known failure, and it does not fail any more", 0, "bold red")


def text_of(entry: Mapping[str, Any]) -> str:
    """Return one finding as it is printed, without colours: for the report of a test."""
    written = io.StringIO()
    console = Console(width=100, file=written, color_system=None)
    _heading(entry, console, "", several=False)
    _show(entry, console, with_text=True)
    return written.getvalue().strip()


def _heading(entry: Mapping[str, Any], console: Console, style: str, several: bool) -> None:
    of = f" ({entry['loss']})" if several else ""
    errored = "errored " if entry["verdict"] == "errored" else ""
    _print(console, f"{errored}{entry['finding']}: {plain(entry['title'])}{of}", 2, f"bold {style}")


def _show(entry: Mapping[str, Any], console: Console, *, with_text: bool) -> None:
    for paragraph in paragraphs(entry["text"]) if with_text else ():
        _print(console, paragraph, 4, "dim")
    _print(console, summary.comparison(entry), 4)
    _print(console, summary.call(entry), 4)
    for text in (summary.stopped(entry), summary.assumed(entry)):
        if text:
            _print(console, text, 4)
    for text in () if summary.readable(entry) else summary.inputs(entry):
        _print(console, text, 4)
    console.print(Text(f"    {entry['reproduce']}", "cyan"), soft_wrap=True)


def _print(console: Console, text: str, indent: int, style: str = "") -> None:
    """Print a text that fits the width of the console, indented, and with no blank at the end of a line."""
    for line in Text(text, style, overflow="fold").wrap(console, console.width - indent):
        line.rstrip()
        console.print(Text(" " * indent).append_text(line), highlight=False, soft_wrap=True)


def show_verdict(certificate: Mapping[str, Any], console: Console, page: str = "") -> None:
    """Print what is said of one target at the end: its name, the sentence, advice, choices at kinks, small print."""
    judged = scope.judgement(certificate)
    lines = [(summary.sentence(certificate), f"bold {STYLES.get(judged, 'red')}")]
    advice = summary.advice(certificate)
    lines += [(f"advice: {advice}", "")] if advice else []
    if said := summary.declared(certificate):
        lines.append((f"declared: {said}", ""))
    if spread := summary.processes(certificate):
        lines.append((f"over processes: {spread}", ""))
    several = len(certificate["scope"]["losses"]) > 1
    for loss, clause, choice in summary.choices(certificate):
        lines.append((f"another legal choice at {clause}{f' of {loss}' if several else ''}: {plain(choice)}", ""))
    _print(console, certificate["target"], 0, "bold")
    for line, style in [*lines, (summary.facts(certificate), "dim")]:
        _print(console, line, 2, style)
    if page:  # in one piece, to be opened
        console.print(Text(f"  {page}", "dim"), soft_wrap=True)
