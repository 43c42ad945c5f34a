"""The kill matrix: which clauses the judge names for each broken implementation, over its whole plan.

python -m audit matrix      writes audit/measured/KILLS.md from what `kills` measured

Exit status 1 where a clause never stands alone and no reason says why, or where a reason is out of date.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from audit import mutants
from audit.kills import measured
from audit.pages import cell, publish, some
from lossproof.conformance.plan.plan import everything
from lossproof.spec import clauses, page, page_names


@cache
def reasons() -> Mapping[str, str]:
    """Return why a clause never stands alone, by id."""
    found: Mapping[str, str] = tomllib.loads(
        (Path(mutants.__file__).parent / "never_alone.toml").read_text(encoding="utf-8")
    )
    return found


def named() -> Mapping[str, list[str]]:
    """Return the broken implementations for which each clause is named."""
    found = defaultdict(list)
    for row in measured()["mutants"]:
        for clause in row["named"]:
            found[clause].append(row["mutant"])
    return found


def alone() -> Mapping[str, list[str]]:
    """Return the broken implementations that each clause kills alone: no other clause that they break is named."""
    found = defaultdict(list)
    for row in measured()["mutants"]:
        right = [clause for clause in row["named"] if clause in row["clauses"]]
        if len(right) == 1:
            found[right[0]].append(row["mutant"])
    return found


def unexplained() -> Iterator[str]:
    """Yield the clauses that must hold, are asked about, and never stand alone without a reason; and stale reasons."""
    asked, only = {probe.clause for probe in everything()}, alone()
    for key, clause in clauses().items():
        if clause.level != "SHOULD" and key in asked and key not in only and key not in reasons():
            yield f"{key}: no broken implementation is caught by it alone, and no reason says why"
    for key in reasons():
        if key in only:
            yield f"{key}: has a reason why it never stands alone, and catches {', '.join(only[key])} alone"
        if key not in clauses():
            yield f"{key}: has a reason, and is no clause"


def text() -> str:
    """Return the page."""
    summary, rows, named_for, only = measured()["summary"], measured()["mutants"], named(), alone()
    lines = [
        "# The kill matrix",
        "",
        "Made by `python -m tox run -e kills`; do not edit. Each broken implementation is judged with the whole plan",
        "of its loss at the default effort, and these clauses are named. Each says which clauses its bug breaks,",
        "and is caught where one of them is named; others may suffer with them. A clause is alone where it is the",
        "only one of them that is named: without its probes that bug would not be called by its name.",
        "",
        f"{summary['killed']} of {summary['mutants']} are caught by a clause that they break, with each of "
        f"{summary['seeds']} seeds, half of them within",
        f"{summary['median_seconds']} s ({summary['date']}); {sum(map(len, only.values()))} by one such clause alone, "
        f"and for {sum(len(row['named']) == 1 for row in rows)} no other clause is named at all.",
        "",
        "## Clauses",
    ]  # fmt: skip
    for name in page_names():
        lines += ["", f"### {name}", "", "| clause | says | named for | alone for |", "|---|---|---|---|"]
        for key, clause in page(name).clauses.items():
            if key in named_for or key in reasons():
                why = some(only[key], 3) if key in only else reasons().get(key, "")
                lines.append(f"| {key} | {cell(clause.title)} | {len(named_for.get(key, ()))} | {why} |")
    lines += ["", "## Broken implementations", "", "| id | breaks | named |", "|---|---|---|"]
    lines += [f"| {row['mutant']} | {', '.join(row['clauses'])} | {', '.join(row['named'])} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page; say what is unexplained."""
    summary = f"{len(alone())} clauses stand alone, {len(reasons())} have a reason"
    return publish("KILLS.md", text(), unexplained(), summary)
