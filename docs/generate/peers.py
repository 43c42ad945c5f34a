"""Other people's implementations: what was measured of each, and what each is known to fail."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from docs.generate.places import ROOT
from lossproof.conformance.report.known_failures import load
from lossproof.spec import Clause, clauses, losses, spec_version

HOME = ROOT / "conformance" / "peers"
_SCHEMA = json.loads((Path(__file__).parent / "measured.schema.json").read_text(encoding="utf-8"))


class MeasuredError(Exception):
    """A file of measurements cannot be used; the message names it."""


@dataclass(frozen=True)
class Finding:
    """A declared failure: what was found, why, and the line that shows it."""

    peer: Peer
    id: str
    loss: str
    reason: str
    reproduce: str
    link: str

    @property
    def clause(self) -> Clause:
        """Return the clause that it breaks."""
        return clauses()[self.id.split("/")[0]]

    @property
    def case(self) -> Mapping[str, Any] | None:
        """Return its smallest case where it was measured last, or that of a finding with the same cause."""
        cases = [case for case in (self.peer.row or {}).get("cases", ()) if case["loss"] == self.loss]
        own = [case for case in cases if case["finding"] == self.id]
        return next(iter(own + [case for case in cases if self.id in case["also"]]), None)

    @property
    def anchor(self) -> str:
        """Return its label on the site."""
        return slug(f"{self.peer.anchor}-{self.loss if len(self.peer.losses) > 1 else ''}-{self.id}")


@dataclass(frozen=True)
class Peer:
    """An implementation: what was measured of it, if anything was."""

    library: str
    key: str
    name: str
    losses: tuple[str, ...]
    row: Mapping[str, Any] | None = field(compare=False)

    @property
    def page(self) -> str:
        """Return its page."""
        return f"peers/{self.library}/{self.key}"

    @property
    def anchor(self) -> str:
        """Return its label on the site."""
        return slug(f"{self.library}-{self.key}")

    @property
    def short(self) -> str:
        """Return a name that fits a cell: that of the function, and what sets it apart."""
        name = self.name.removeprefix("formula of ")
        return re.sub(r"^[\w.]*\.(?=\w)", "", name) if "/" not in name else name.partition("/")[2]

    @property
    def findings(self) -> list[Finding]:
        """Return what it is known to fail: values first, then gradients, then argument checks."""
        path = HOME / "known" / self.library / f"{self.key}.toml"
        order = ("value", "gradient", "interface")
        found = [
            Finding(self, e["finding"], e["loss"], e["reason"], e.get("reproduce", ""), e.get("link", ""))
            for e in (load(path) if path.is_file() else ())
        ]
        return sorted(found, key=lambda finding: order.index(finding.clause.kind))


def slug(words: str) -> str:
    """Return words as the name of an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=\s)-(?=\d)", "minus ", words.lower())).strip("-")


def measured(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of measurements; MeasuredError, with its name, where this site cannot read it."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    for problem in Draft202012Validator(_SCHEMA).iter_errors(rows):
        raise MeasuredError(f"{path}: {'/'.join(map(str, problem.absolute_path))}: {problem.message}")
    for row in rows:
        own = row["versions"]["spec"]
        if own.split(".")[0] != spec_version().split(".")[0]:
            raise MeasuredError(
                f"{path}: {row['peer']!r} was measured by version {own} of the spec; expected {spec_version()}"
                " or an earlier one with the same first number"
            )
    return list(rows)


@cache
def peers() -> tuple[Peer, ...]:
    """Return every implementation of which something was measured or declared, by library."""
    found = {}
    for path in sorted((HOME / "measured").glob("*.json")):
        for row in measured(path):
            found[path.stem, row["peer"]] = Peer(path.stem, row["peer"], row["name"], tuple(row["losses"]), row)
    for path in sorted((HOME / "known").glob("*/*.toml")):
        of = tuple(dict.fromkeys(entry["loss"] for entry in load(path)))
        key = (path.parent.name, path.stem)
        found.setdefault(key, Peer(*key, f"{key[0]} {key[1].replace('_', ' ')}", of, None))
    return tuple(found[key] for key in sorted(found))


@cache
def by_clause() -> Mapping[str, list[Finding]]:
    """Return the findings that break each clause."""
    found = defaultdict(list)
    for peer in peers():
        for finding in peer.findings:
            found[finding.clause.id].append(finding)
    return found


def of_loss(loss: str) -> list[Peer]:
    """Return the implementations that were judged as a loss."""
    return [peer for peer in peers() if loss in peer.losses]


def judged() -> Iterator[str]:
    """Yield the losses as which somebody was judged, in the order of the spec."""
    yield from (loss for loss in losses() if of_loss(loss))
