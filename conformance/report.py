"""What a person sees: the files of a report, the findings and the one table at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lossproof.conformance.explore import Worst
from lossproof.conformance.verdict import VERDICTS

_STYLE = {
    "conformant": "green",
    "nonconformant": "red",
    "errored": "red",
    "not run": "red",
    "known-failing": "yellow",
}


def write(certificate: Mapping[str, Any], folder: Path) -> None:
    """Write certificate.json and certificate.html; whatever an implementation says of itself is escaped."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(certificate, indent=1, allow_nan=False)
    (folder / "certificate.json").write_text(text + "\n", encoding="utf-8")
    (folder / "certificate.html").write_text(page(certificate), encoding="utf-8")


def page(certificate: Mapping[str, Any]) -> str:
    """Return the certificate as an HTML page."""
    environment = Environment(loader=PackageLoader("lossproof.conformance", "templates"), autoescape=True)
    return environment.get_template("certificate.html").render(c=certificate, verdicts=VERDICTS)


def show_findings(certificate: Mapping[str, Any], console: Console) -> None:
    """Print each finding: clause and text, the smallest case, got, want, budget, and the line that shows it."""
    for entry in [*certificate["findings"], *certificate["advice"]]:
        verdict = (
            "known-failing" if entry.get("known") else "advice" if entry in certificate["advice"] else entry["verdict"]
        )
        style = _STYLE.get(verdict, "yellow")
        console.print(
            f"\n[bold {style}]{verdict}[/] [bold]{escape(entry['finding'])}[/] · {entry['class']} · "
            + escape(entry["title"])
        )
        if entry.get("known"):
            continue
        console.print(f"  {escape(entry['text'])}", style="dim")
        console.print(escape(f"  {entry['where']}: got {entry['got']}, want {entry['want']}, budget {entry['budget']}"))
        console.print(f"  {escape(str(entry['parameters']))} {entry['dtype']}, {entry['mode']}")
        console.print(f"  {escape(entry['reproduce'])}", soft_wrap=True, style="cyan")
    for loss in certificate["fitted"]:
        console.print(
            f"\n[bold red]fitted[/] {escape(loss)} is right on every published vector and wrong on their copies"
        )
    for finding in certificate["stale_known_failures"]:
        console.print(
            f"\n[bold red]stale[/] {escape(finding)} is declared as a known failure and does not fail any more"
        )


def table(certificates: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of a run: one line a target."""
    found = Table(title="Lossproof", title_justify="left")
    for heading in (
        "target",
        "verdict",
        "value",
        "gradient",
        "interface",
        "known",
        "unsupported",
        "grade",
        "worst shares",
        "cases",
        "seconds",
    ):
        found.add_column(heading, justify="right" if heading in ("cases", "seconds") else "left", overflow="fold")
    for c in certificates:
        counts, style = c["counts"], _STYLE.get(c["verdict"], "red")
        judged = [f"{_passed(counts[kind])}" for kind in ("value", "gradient", "interface")]
        totals = {verdict: sum(row[verdict] for row in counts.values()) for verdict in VERDICTS}
        shares = [f"{part} {max(row.values()):.2f}" for part, row in c["worst"].items() if part != "second"]
        framework = f"{c['implementation']['framework']} {c['implementation']['framework_version']}"
        name, verdict = f"{escape(c['target'])}\n[dim]{escape(framework)}[/]", f"[{style}]{c['verdict']}[/]"
        others = [str(totals["known-failing"]), str(totals["unsupported"]), c["grade"], "\n".join(shares)]
        found.add_row(name, verdict, *judged, *others, str(c["cases"]), f"{c['seconds']:.0f}")
    return found


def worst_table(found: Sequence[Worst]) -> Table:
    """Return the table of an exploration: a line for the worst case of each loss, part and dtype."""
    table = Table(title="Worst errors found", title_justify="left")
    for heading in ("loss", "part", "dtype", "target", "share of the budget", "options"):
        table.add_column(heading, justify="right" if heading.startswith("share") else "left", overflow="fold")
    for worst in found:
        style = "red" if worst.share > 1 else "green"
        share = f"[{style}]{worst.share:.2f}[/]"
        table.add_row(
            worst.loss, worst.part, worst.dtype, escape(worst.target), share, str(dict(worst.case.parameters))
        )
    return table


def _passed(row: Mapping[str, int]) -> str:
    judged = sum(row[verdict] for verdict in ("conformant", "nonconformant", "errored", "known-failing"))
    return f"{row['conformant']}/{judged}"
