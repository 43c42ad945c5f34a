"""Known failures: findings that somebody has looked at and declared, each with a reason. A stale entry is an error."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lossproof.conformance.verdict import KNOWN, Finding, Result
from lossproof.spec import clauses

_FIELDS = {"loss", "finding", "reason", "reproduce", "link"}


class KnownFailuresError(Exception):
    """The file cannot be used; the message is one line."""


def load(path: Path) -> list[Mapping[str, Any]]:
    """Return the entries of a known-failures file: tables `[[failure]]` with loss, finding, reason and more."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("failure", [])
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise KnownFailuresError(f"cannot read {path}: {problem}") from problem
    for entry in entries:
        unknown, missing = set(entry) - _FIELDS, {"loss", "finding", "reason"} - set(entry)
        if unknown or missing:
            what = f"unknown {sorted(unknown)}" if unknown else f"no {sorted(missing)}"
            raise KnownFailuresError(f"{path}: entry {entry.get('finding', '?')!r} has {what}")
        if entry["finding"].split("/")[0] not in clauses():
            raise KnownFailuresError(f"{path}: {entry['finding']!r} names no clause of the spec")
    return list(entries)


def matches(entry: Mapping[str, Any], finding: Finding) -> bool:
    """Whether an entry declares a finding: the same loss and the same clause, or clause/label."""
    return bool(entry["loss"] == finding.loss and entry["finding"] == finding.id)


def apply(entries: Iterable[Mapping[str, Any]], results: Iterable[Result]) -> None:
    """Turn the verdict of every result whose findings are all declared into known-failing."""
    for result in results:
        declared = [any(matches(entry, finding) for entry in entries) for finding in result.findings]
        if declared and all(declared):
            result.verdict = KNOWN


def stale(entries: Iterable[Mapping[str, Any]], results: list[Result]) -> list[Mapping[str, Any]]:
    """Return the entries that no finding matches although probes of their clause were run."""
    findings = [finding for result in results for finding in result.findings]
    run = {(r.probe.loss, r.probe.clause) for r in results if r.run}
    return [
        entry
        for entry in entries
        if (entry["loss"], entry["finding"].split("/")[0]) in run and not any(matches(entry, f) for f in findings)
    ]
