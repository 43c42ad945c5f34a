"""The trace: clause, check, broken implementation, source row and worked example, in both directions.

python -m audit trace      writes audit/measured/TRACE.md; exit status 1 where something is an orphan
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from audit.kills import measured, mutants
from audit.pages import cell, publish, some
from lossproof.conformance.plan.plan import everything
from lossproof.spec import Page, clauses, page, page_names

# Clauses that the judge does not ask about, and where they are tested.
_ELSEWHERE = {
    "mining": "tests/backends/test_mining.py: what is drawn at random has no one answer to compare with",
    "DD-9": "tests/backends/test_distributed_torch.py and its likes for JAX and TensorFlow: a group of one",
    "DD-17": "the same tests: centers and memories after an update",
    "DD-18": "the same tests: calls that no process can mean",
    "DD-19": "the same tests: what is held, and what travels",
    "verification": "tests/backends/test_verification.py: a count that float32 cannot hold",
}


def elsewhere(page_name: str, clause: str = "") -> str:
    """Return where a clause is tested that the judge does not ask about, or nothing."""
    return _ELSEWHERE.get(clause) or _ELSEWHERE.get(page_name, "")


def checks() -> dict[str, list[str]]:
    """Return the checks that ask about each clause."""
    found: dict[str, list[str]] = defaultdict(list)
    for probe in everything():
        if probe.check not in found[probe.clause]:
            found[probe.clause].append(probe.check)
    return found


def breakers() -> dict[str, list[str]]:
    """Return the broken implementations that name each clause."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, mutant in mutants().items():
        for clause in mutant.clauses:
            found[clause].append(key)
    return found


def sources() -> dict[str, list[str]]:
    """Return the clauses whose worked examples bear the name of each source row."""
    found: dict[str, list[str]] = defaultdict(list)
    for clause in clauses().values():
        for example in clause.examples:
            if example.source and clause.id not in found[example.source]:
                found[example.source].append(clause.id)
    return found


def orphans() -> Iterator[str]:
    """Yield what has no partner: a clause nothing asks about, one nothing breaks, a name that means nothing."""
    asked, broken, named = checks(), breakers(), sources()
    for name in page_names():
        for key, clause in page(name).clauses.items():
            if key not in asked and not elsewhere(name, key):
                yield f"{key}: no check asks about it"
            if clause.level != "SHOULD" and key not in broken and (key in asked or not elsewhere(name, key)):
                yield f"{key}: no broken implementation breaks it"
    for key in sorted(set(broken) - set(clauses())):
        yield f"{key}: named by {', '.join(broken[key])}, and no clause"
    for name in (n for n in page_names() if not elsewhere(n)):
        for row in page(name).front.get("references", {}):
            if not named.get(row):
                yield f"{row}: no worked example bears its name"


def text() -> str:
    """Return the page."""
    killed = {row["mutant"]: ", ".join(dict.fromkeys(row["by"])) for row in measured()["mutants"]}
    lines = [
        "# The trace",
        "",
        "Made by `python -m audit trace`; do not edit. Which check asks about a clause, which broken",
        "implementation breaks it, and which source rows it settles by a worked example.",
        "",
        f"{len(clauses())} clauses, {sum(len(c.examples) for c in clauses().values())} worked examples, "
        f"{len(mutants())} broken implementations.",
        "",
        "## Source rows",
        "",
        "| row | system | clauses with an example of it |",
        "|---|---|---|",
    ]
    rows = {row: system for name in page_names() for row, system in page(name).front.get("references", {}).items()}
    for row in sorted(rows, key=lambda r: int(r[1:])):
        lines.append(f"| {row} | {rows[row]} | {', '.join(sources().get(row, ()))} |")
    for name in page_names():
        lines += ["", f"## {name}", "", *_table(page(name))]
    lines += ["", "## Broken implementations", "", "| id | bug | seen | breaks | caught by |", "|---|---|---|---|---|"]
    for key, m in mutants().items():
        lines.append(f"| {key} | {cell(m.bug)} | {cell(m.seen)} | {', '.join(m.clauses)} | {killed.get(key, '')} |")
    return "\n".join(lines) + "\n"


def _table(own: Page) -> Iterator[str]:
    asked, broken = checks(), breakers()
    yield "| clause | level | class | says | checks | examples | broken implementations |"
    yield "|---|---|---|---|---|---|---|"
    for key, c in own.clauses.items():
        found = asked.get(key) or [elsewhere(own.name, key)]
        few = some(broken.get(key, []), 4)
        yield (f"| {key} | {c.level} | {c.kind} | {cell(c.title)} | {', '.join(found)} | {len(c.examples)} | {few} |")


def main() -> int:
    """Write the page; say what is an orphan."""
    summary = f"{len(clauses())} clauses, {len(mutants())} broken implementations"
    return publish("TRACE.md", text(), orphans(), summary)
