"""Writes the known failures of a run: what is found becomes an entry, and a person fills in the reason of each.

A file that is there already is brought up to date: an entry that still fails stays as it is, word for word, and so does
one whose probes were not run; one that does not fail any more goes; what is new comes at the end, its reason empty.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from lossproof.conformance.host.reproduce import line
from lossproof.conformance.judge.results import Finding, Result
from lossproof.conformance.report import known_failures
from lossproof.conformance.report.entries import entries
from lossproof.conformance.report.files import atomic
from lossproof.conformance.report.formulas import plain
from lossproof.conformance.report.known_failures import KnownFailuresError
from lossproof.conformance.report.summary import cut
from lossproof.spec import clauses

_HEAD = re.compile(r"(?:^#.*\n)*^[ \t]*\[\[[ \t]*failure[ \t]*\]\]", re.MULTILINE)  # with the comment right above it


@dataclass(frozen=True)
class Written:
    """What a file holds now: how many entries, how many of them are new or have no reason, and those that went."""

    entries: int
    new: int
    unfilled: int
    gone: Sequence[str]

    def __str__(self) -> str:
        """Return it in words."""
        parts = [f"{self.entries} entr{'y' if self.entries == 1 else 'ies'}"]
        parts += [f"{self.new} new"] if self.new else []
        parts += [f"gone {', '.join(self.gone)}"] if self.gone else []
        open_ones = f"; {self.unfilled} without a reason, and refused until it is filled in" if self.unfilled else ""
        return ", ".join(parts) + open_ones


def there(path: Path) -> list[tuple[Mapping[str, Any], str]]:
    """Return the entries of a file with their text, or none where there is no file; KnownFailuresError if it is no use.

    It is asked before a run too, so that nobody waits for a result that cannot be written.
    """
    home = next(folder for folder in path.absolute().parents if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise KnownFailuresError(f"cannot write {path}: {home} is no folder that can be written to")
    if not path.exists():
        return []
    found, pieces = known_failures.load(path, filled=False), _pieces(path.read_text(encoding="utf-8"))[1:]
    if len(found) != len(pieces):
        raise KnownFailuresError(f"cannot add to {path}: each of its entries must begin with a line [[failure]]")
    return list(zip(found, pieces, strict=True))


def write(path: Path, target: str, hello: Mapping[str, Any], results: Sequence[Result]) -> Written:
    """Write or bring up to date the file of a run's findings; it is the old one or the new one, never a part of one."""
    old = there(path)
    gone = known_failures.stale([entry for entry, _ in old], list(results))
    kept = [entry for entry, _ in old if entry not in gone]
    new = [f for f in _findings(results) if not any(known_failures.matches(entry, f) for entry in kept)]
    if new or gone:
        head = _pieces(path.read_text(encoding="utf-8"))[0] if path.exists() else _head(target, hello)
        texts = [head, *(_comments_at_the_end(text) if entry in gone else text for entry, text in old)]
        texts += [_entry(target, hello, finding) for finding in new]
        atomic(path, "\n\n".join(text.strip("\n") for text in texts if text.strip()) + "\n")
    unfilled = sum(not entry["reason"].strip() for entry in kept) + len(new)
    return Written(len(kept) + len(new), len(new), unfilled, [entry["finding"] for entry in gone])


def _pieces(text: str) -> list[str]:
    """Return what stands before the first entry, then the text of each."""
    starts = [match.start() for match in _HEAD.finditer(text)]
    return [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]


def _comments_at_the_end(text: str) -> str:
    """Return what stands below an entry, which may be about those that follow."""
    below = takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), reversed(text.splitlines()))
    return "\n".join(reversed(list(below)))


def _findings(results: Sequence[Result]) -> Iterator[Finding]:
    """Yield each finding once, in the order in which they are read: the other ids of a cause right after it."""
    for entry in entries(results):
        yield from (entry.finding, *entry.also)


def _head(target: str, hello: Mapping[str, Any]) -> str:
    version = " ".join(filter(None, (hello.get("framework", ""), hello.get("framework_version", ""))))
    return _comment(f"{target}{f', {version}' if version else ''}: what is known to fail, and the line that shows it.")


def _entry(target: str, hello: Mapping[str, Any], finding: Finding) -> str:
    got, want = (cut(" ".join(str(value).split())) for value in (finding.mismatch.got, finding.mismatch.want))
    return "\n".join(
        [
            _comment(f"{plain(clauses()[finding.clause].title)}: {finding.mismatch.where}: got {got}, want {want}"),
            "[[failure]]",
            f"loss = {_string(finding.loss)}",
            f"finding = {_string(finding.id)}",
            'reason = ""',
            f"reproduce = {_string(line(target, hello, finding.case).replace(f'{Path.cwd()}/', ''))}",
        ]
    )


def _comment(text: str) -> str:
    return "# " + "".join(letter if letter.isprintable() else " " for letter in text)


def _string(text: str) -> str:
    """Return a string as TOML writes it: as it is where it holds quotation marks, escaped where it must be."""
    if '"' in text and "'''" not in text and not text.endswith("''") and text.isprintable():
        return f"'''{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
