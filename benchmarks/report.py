"""What was measured: as JSON, as the Markdown table of README, and as the exponents of growth."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import OURS, Row
from benchmarks.timing import Times

PACKAGES = ("torch", "jax", "tensorflow-cpu", "numpy", "optax", "sentence-transformers", "pytorch-metric-learning")
HEAD = "<!-- made by python -m benchmarks -->"


def machine(rounds: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    known = {}
    for package in PACKAGES:
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "allocator": os.environ.get("MALLOC_MMAP_THRESHOLD_", "as it comes"),
        "rounds": rounds,
        "versions": known,
    }


def entry(row: Row, times: Mapping[str, Times], peaks: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the figures of one row."""
    first = next(iter(times))
    return {
        "name": row.name,
        "loss": row.loss,
        "where": row.where,
        "size": row.size,
        "rows": row.rows,
        "aim": row.aim,
        "beside": first,
        "ratio": times[OURS].ratio(times[first]) if first != OURS else None,
        "milliseconds": {
            n: [1e3 * t for t in (found.quartiles[0], found.median, found.quartiles[1])] for n, found in times.items()
        },
        "peak MiB": dict(peaks),
    }


def exponents(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float | None]]:
    """Return how time and memory of each loss grow with the rows: the slope of a line through the logarithms."""
    found = {}
    for loss in dict.fromkeys(e["loss"] for e in entries if e["rows"]):
        own = [e for e in entries if e["loss"] == loss and e["rows"]]
        if len(own) > 2:
            peaks = [e["peak MiB"].get(OURS) or 0.0 for e in own]
            known = [(e["rows"], peak) for e, peak in zip(own, peaks, strict=True) if peak > 16]  # below it is noise
            of_time = _slope([(e["rows"], e["milliseconds"][OURS][1]) for e in own])
            found[loss] = of_time, _slope(known) if len(known) > 1 else None
    return found


def _slope(points: Iterable[tuple[float, float]]) -> float:
    rows, values = zip(*points, strict=True)
    return float(np.polyfit(np.log(rows), np.log(values), 1)[0])


def table(found: Mapping[str, Any]) -> str:
    """Return the Markdown table, and what it was measured on."""
    of, lines = (
        found["machine"],
        [HEAD, "", "| loss | where | size | beside | ours ms | theirs ms | ratio | aim | peak MiB |"],
    )
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for e in found["rows"]:
        times, beside = e["milliseconds"], e["beside"]
        theirs = f"{times[beside][1]:.2f}" if beside != OURS else ""
        ratio, aim = (f"{e[key]:.2f}" if e[key] is not None else "" for key in ("ratio", "aim"))
        peak = e["peak MiB"].get(OURS)
        cells = [
            e["loss"],
            e["where"],
            e["size"],
            beside if theirs else "",
            f"{times[OURS][1]:.2f}",
            theirs,
            ratio,
            aim,
        ]
        lines.append(f"| {' | '.join([*cells, f'{peak:.0f}' if peak is not None else ''])} |")
    growth = [
        f"{loss} {time:.2f}" + (f" (memory {memory:.2f})" if memory else "")
        for loss, (time, memory) in exponents(found["rows"]).items()
    ]
    words = [f"Time grows with the rows to the power: {', '.join(growth)}."] if growth else []
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    words.append(
        f"Medians of up to {of['rounds']} rounds, float32, forward and backward; {of['date']}, {of['machine']}, "
        f"Python {of['python']}, {versions}; MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_: {of['allocator']}."
    )
    return "\n".join([*lines, "", *words, ""])


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Write the JSON and the table, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("results.json", json.dumps(found, indent=1) + "\n"), ("TABLE.md", table(found))):
        part = folder / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
