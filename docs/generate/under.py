"""What stands under a clause: who differs from it, which check asks about it, which broken implementations break it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

from docs.generate.links import linked
from docs.generate.peers import by_clause
from docs.generate.places import ROOT

_ROW = re.compile(r"^\| ([A-Z]+-\d+) \| \w+ \| \w+ \| .+ \| ([^|]+) \| \d+ \| [^|]* \|$", re.MULTILINE)


@cache
def checks() -> Mapping[str, str]:
    """Return which checks ask about each clause, or where else it is tested, as the trace says."""
    trace = (ROOT / "audit" / "measured" / "TRACE.md").read_text(encoding="utf-8")
    return dict(_ROW.findall(trace))


@cache
def kills() -> Mapping[str, Any]:
    """Return what was measured of the broken implementations."""
    found: Mapping[str, Any] = json.loads((ROOT / "audit" / "measured" / "kills.json").read_text(encoding="utf-8"))
    return found


@cache
def breakers() -> Mapping[str, list[Mapping[str, Any]]]:
    """Return the broken implementations that name each clause."""
    found = defaultdict(list)
    for row in kills()["mutants"]:
        for clause in row["clauses"]:
            found[clause].append(row)
    return found


def asked(clause: str) -> dict[str, Any]:
    """Return how a clause is asked about: the words, and the broken implementations."""
    of = checks().get(clause, "")
    if not of:
        how = "No check of the judge asks about this clause."
    elif ":" in of or "tests" in of:
        how = f"The judge does not ask; it is tested elsewhere ({of})."
    else:
        how = "Asked by " + ", ".join(f"`{check}`" for check in of.split(", ")) + "."
    own = [{"id": row["mutant"], "bug": linked(row["bug"])} for row in breakers().get(clause, ())]
    return {"how": how, "mutants": own}


def differing(clause: str) -> list[dict[str, str]]:
    """Return who differs from a clause: one entry an implementation and reason."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for finding in by_clause().get(clause, ()):
        found.setdefault(
            (finding.peer.name, finding.reason),
            {
                "name": f"`{finding.peer.name}`",
                "short": finding.peer.short,
                "library": finding.peer.library,
                "anchor": finding.anchor,
                "reason": linked(finding.reason),
            },
        )
    return list(found.values())


def summary(clause: str) -> str:
    """Return in a line who differs from a clause, and how many broken implementations break it."""
    peers = len({finding.peer for finding in by_clause().get(clause, ())})
    broken = len(breakers().get(clause, ()))
    differ = f"{peers or 'No'} public implementation{'s differ' if peers > 1 else ' differs'}"
    return f"{differ}; {broken} broken one{' is' if broken == 1 else 's are'} caught" if broken else differ
