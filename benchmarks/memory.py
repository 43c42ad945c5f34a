"""Peak memory of one step, in a process of its own: what it adds to a process that holds the arrays already."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.rows import Row

# Here large arrays are given back, so that what a step takes is seen, and not taken from what an import left over
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


def peak(row: Row, candidate: str) -> float | None:
    """Return the MiB that one step of a candidate adds at its peak; None where the process did not end well."""
    command = [sys.executable, "-m", "benchmarks", "--peak-of", row.name, candidate]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **ALLOCATOR})
    return float(json.loads(found.stdout)) if found.returncode == 0 else None


def report(row: Row, candidate: str) -> None:
    """Print what `peak` reads."""
    step = row.steps[candidate]()
    before = _now()
    step()
    print(json.dumps(_highest() - before))


def _now() -> float:
    """Return the size of this process in MiB, and forget the largest that it has had, where the system can."""
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not forget.exists():
        return _highest()
    forget.write_text("5", encoding="ascii")
    return _kibibytes(status.read_text(encoding="ascii"), "VmRSS") / 2**10


def _highest() -> float:
    """Return the largest size that this process has had, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        return _kibibytes(status.read_text(encoding="ascii"), "VmHWM") / 2**10
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _kibibytes(status: str, name: str) -> int:
    return int(status.split(f"{name}:")[1].split()[0])
