"""Whether two certificates say the same: after a change of the judge that is meant to change nothing.

    python -m audit same BEFORE AFTER       two certificate.json, or two folders of them

Time, date and the version of the judge may differ, the wording of a reason, and the catalogue, which may have
grown by losses that neither was asked; nothing else may.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

APART = {"seconds", "date", "package", "kills", "probes", "findings", "advice"}  # told apart, or compared by parts
OF_PROBE = ("verdict", "planned", "run", "obscured", "worst", "findings", "choice")
OF_FINDING = (
    "finding",
    "clause",
    "loss",
    "check",
    "verdict",
    "where",
    "got",
    "want",
    "tolerance",
    "parameters",
    "inputs",
)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield what two certificates say differently, a line each."""
    before, after = (dict(found, scope={**found["scope"], "spec": None}) for found in (before, after))
    for key in sorted((before.keys() | after.keys()) - APART):
        if before.get(key) != after.get(key):
            yield f"{key}: {before.get(key)!r}, then {after.get(key)!r}"
    first, second = ({probe["name"]: probe for probe in found["probes"]} for found in (before, after))
    yield from (f"{name}: is gone" for name in first if name not in second)
    yield from (f"{name}: is new" for name in second if name not in first)
    for name in (name for name in first if name in second):
        yield from _apart(name, OF_PROBE, first[name], second[name])
    for kind in ("findings", "advice"):
        if len(before[kind]) != len(after[kind]):
            yield f"{kind}: {len(before[kind])}, then {len(after[kind])}"
        for one, other in zip(before[kind], after[kind], strict=False):
            yield from _apart(f"{kind}: {one['loss']} {one['finding']}", OF_FINDING, one, other)


def _apart(name: str, keys: tuple[str, ...], one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for key in keys:
        if one.get(key) != other.get(key):
            yield f"{name}: {key}: {one.get(key)!r}, then {other.get(key)!r}"


def certificates(path: Path) -> dict[str, Path]:
    """Return the certificates of a file or a folder, by the folder that each stands in."""
    if path.is_file():
        return {"": path}
    return {file.parent.name: file for file in sorted(path.glob("**/certificate.json"))}


def main() -> int:
    """Print the differences; exit status 1 where there are any, 2 where there is nothing to compare."""
    options = argparse.ArgumentParser(description="Whether two certificates, or two folders of them, say the same.")
    options.add_argument("before", type=Path)
    options.add_argument("after", type=Path)
    asked = options.parse_args()
    before, after = certificates(asked.before), certificates(asked.after)
    if not before or before.keys() != after.keys():
        print(f"nothing to compare: {sorted(before)} and {sorted(after)}")
        return 2
    differ = False
    for name in before:
        first, second = (json.loads(found[name].read_text(encoding="utf-8")) for found in (before, after))
        found = list(differences(first, second))
        differ |= bool(found)
        print(f"{first['target']}: {'the same' if not found else f'{len(found)} differences'}", *found[:40], sep="\n  ")
    return 1 if differ else 0
