"""docs/peers.md: what was measured of other libraries, as a table, and what is known to fail, with its lines."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lossproof.spec import clauses, dialects

CLASSES = {"value": "value", "gradient": "gradient", "interface": "argument checks"}
HEAD = Path(__file__).parent / "templates" / "peers.md"  # what stands above the table


def rows(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what was measured: the library, and a row of it."""
    for path in sorted((root / "conformance" / "peers" / "measured").glob("*.json")):
        yield from ((path.stem, row) for row in json.loads(path.read_text(encoding="utf-8")))


def known(root: Path, library: str, peer: str) -> list[dict[str, Any]]:
    """Return the declared failures of a peer."""
    path = root / "conformance" / "peers" / "known" / library / f"{peer}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["failure"] if path.is_file() else []


def _cell(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[word]} {word}" for word in ("passed", "known", "failed") if counts[word]) or "not asked"


def table(root: Path) -> str:
    """Return the table of peers, losses and classes."""
    lines = [
        "| function | judged as | value | gradient | argument checks | findings | lacks of the page | versions, date |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for _, row in rows(root):
        cells = [_cell(row["classes"][kind]) for kind in CLASSES]
        versions = ", ".join(f"{n} {v}" for n, v in row["versions"].items() if v and n not in ("lossproof", "spec"))
        versions += f", {row['date']}"
        fixed = ", ".join(
            f"{n} = {v}" for own in row["declared"].values() for n, v in own.items() if type(v) is not list
        )
        judged = ", ".join(f"`{loss}`" for loss in row["losses"]) + (f" with {fixed}" if fixed else "")
        lacks = ", ".join(row["lacks"]) or "nothing"
        findings = str(row["findings"]) if row.get("complete", True) else f"{row['findings']}, of part of the checks"
        name = f"`{row['name']}`"
        lines.append(f"| {' | '.join([name, judged, *cells, findings, lacks, versions])} |")
    return "\n".join(lines)


def others() -> str:
    """Return the calls that are no function of a page."""
    lines = ["| function | nearest page | what it does instead |", "|---|---|---|"]
    found = [d for d in dialects() if d.departs]
    return "\n".join([*lines, *(f"| `{d.name}` | `{d.loss}` | {d.departs} |" for d in found)])


def findings(root: Path) -> str:
    """Return the declared failures of values and gradients with a line each, and how many argument checks there are."""
    parts = []
    for library, row in rows(root):
        entries = known(root, library, row["peer"])
        if not entries:
            continue
        parts += [f"### {row['name']}", ""]
        lines, checks = set(), 0
        for entry in entries:
            clause = clauses()[entry["finding"].split("/")[0]]
            checks += clause.kind == "interface"
            if clause.kind == "interface" or entry["reproduce"] in lines:
                continue
            lines.add(entry["reproduce"])
            link = f" ({entry['link']})" if "link" in entry else ""
            parts += [f"{entry['finding']}: {entry['reason']}{link}", "", "```", entry["reproduce"], "```", ""]
        where = f"[its file](../conformance/peers/known/{library}/{row['peer']}.toml)"
        parts += [f"{checks} argument checks besides, in {where}.", ""] if checks else []
    return "\n".join(parts).rstrip()


def page(root: Path) -> str:
    """Return the page."""
    parts = [
        HEAD.read_text(encoding="utf-8"),
        table(root),
        "\n## Functions that are none of a page's\n",
        others(),
        "\n## What fails\n",
    ]
    return "\n".join([*parts, findings(root)]) + "\n"


def write(root: Path) -> None:
    """Write the page."""
    (root / "docs" / "peers.md").write_text(page(root), encoding="utf-8")
