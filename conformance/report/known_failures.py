"""Known failures: findings that somebody has looked at and declared, each with a reason. A stale entry is an error."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lossproof.conformance.host.words import meant
from lossproof.conformance.judge.results import KNOWN, Finding, Result
from lossproof.spec import clauses, functions, losses

_FIELDS = {"loss", "finding", "reason", "reproduce", "link"}


class KnownFailuresError(Exception):
    """The file cannot be used; the message is one line."""


def load(path: Path, *, filled: bool = True) -> list[Mapping[str, Any]]:
    """Return the entries of a known-failures file: tables `[[failure]]` with loss, finding, reason and more.

    A reason that nobody has filled in is refused, except by who is about to write the file anew.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise KnownFailuresError(f"cannot read {path}: {problem}") from problem
    entries = content.pop("failure", [])
    if content or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KnownFailuresError(f"{path}: only tables [[failure]] are expected, got {', '.join(content) or 'failure'}")
    for entry in entries:
        unknown, missing = set(entry) - _FIELDS, {"loss", "finding", "reason"} - set(entry)
        if unknown or missing:
            what = f"unknown {sorted(unknown)}" if unknown else f"no {sorted(missing)}"
            raise KnownFailuresError(f"{path}: entry {entry.get('finding', '?')!r} has {what}")
        wrong = [name for name, value in entry.items() if not isinstance(value, str)]
        if wrong:
            raise KnownFailuresError(f"{path}: {wrong[0]} must be a string, got {entry[wrong[0]]!r}")
        if entry["loss"] not in (known := (*losses(), *functions())):
            raise KnownFailuresError(f"{path}: {entry['loss']!r} is no loss of the spec{meant(entry['loss'], known)}")
        if entry["finding"].split("/")[0] not in clauses():
            near = meant(entry["finding"].split("/")[0], clauses())
            raise KnownFailuresError(f"{path}: {entry['finding']!r} names no clause of the spec{near}")
        if filled and not entry["reason"].strip():
            raise KnownFailuresError(f"{path}: entry {entry['finding']!r} of {entry['loss']} has no reason: fill it in")
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
    run = {(r.probe.loss, name) for r in results if r.run for name in _names(r)}
    return [e for e in entries if (e["loss"], e["finding"]) in run and not any(matches(e, f) for f in findings)]


def _names(result: Result) -> tuple[str, ...]:
    """Return the findings that a probe speaks of: its clause and label, or the clause where blame goes to clauses."""
    probe = result.probe
    return (
        (f"{probe.clause}/{probe.label}",)
        if probe.label and probe.check in ("errors", "interface")
        else (probe.clause,)
    )
