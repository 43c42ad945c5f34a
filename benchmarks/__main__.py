"""`python -m benchmarks`: every row of the table, ours and each peer in turn in one process.

python -m benchmarks [PATTERN ...] [--rounds N] [--out FOLDER] [--list] [--quick]

Writes results.json, TABLE.md and growth.png. A pattern chooses the rows whose names contain it; --quick makes each step
once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks import memory, report, timing
from benchmarks.rows import Row, chosen

HERE = Path(__file__).parent
FRAMEWORKS = ("torch", "jax", "tensorflow")
# Large arrays come from the heap and stay there: otherwise a ratio moves by a factor of three with the state of it
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


def every_row() -> Iterator[Row]:
    """Yield the rows of the frameworks that are installed."""
    for framework in FRAMEWORKS:
        try:
            module = importlib.import_module(f"benchmarks.{framework}_rows")
        except ImportError as missing:
            print(f"no rows of {framework}: {missing}", file=sys.stderr)
            continue
        yield from module.rows()


def main() -> int:
    """Measure what is asked for, and write it down."""
    if os.environ.get("MALLOC_MMAP_THRESHOLD_") is None:  # it is read when a process starts
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], {**os.environ, **ALLOCATOR})
    options = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast the losses are.")
    options.add_argument("patterns", nargs="*")
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument("--out", type=Path, default=HERE / "measured")
    options.add_argument("--list", action="store_true", help="name the rows and end")
    options.add_argument("--quick", action="store_true", help="each step once, and no memory: whether it runs at all")
    options.add_argument("--peak-of", nargs=2, metavar=("ROW", "CANDIDATE"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.peak_of:
        (row,) = [row for row in every_row() if row.name == asked.peak_of[0]]
        memory.report(row, asked.peak_of[1])
        return 0
    rows = chosen(every_row(), asked.patterns)
    if not rows:
        print(f"no row has a name with {', '.join(asked.patterns)}; --list names them", file=sys.stderr)
        return 2
    if asked.list:
        print("\n".join(row.name for row in rows))
        return 0
    found = {"machine": report.machine(1 if asked.quick else asked.rounds), "rows": []}
    for row in track(rows, description="rows"):
        times = timing.measure({name: make() for name, make in row.steps.items()}, 1 if asked.quick else asked.rounds)
        peaks = {n: memory.peak(row, n) for n in row.steps} if row.memory and not asked.quick else {}
        found["rows"].append(report.entry(row, times, peaks))
    report.write(found, asked.out)
    try:
        from benchmarks import plots

        plots.draw(found, asked.out)
    except ImportError as missing:
        print(f"no picture: {missing}", file=sys.stderr)
    Console().print(report.table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
