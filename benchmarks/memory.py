"""Peak memory of one step, in a process of its own: what it adds to a process that holds the arrays already."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

from benchmarks.rows import Row


def peak(row: Row, candidate: str) -> float | None:
    """Return the MiB that one step of a candidate adds at its peak; None where the process did not end well."""
    command = [sys.executable, "-m", "benchmarks", "--peak-of", row.name, candidate]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(json.loads(found.stdout)) if found.returncode == 0 else None


def report(row: Row, candidate: str) -> None:
    """Print what `peak` reads."""
    step = row.steps[candidate]()
    before = _highest()
    step()
    print(json.dumps(_highest() - before))


def _highest() -> float:
    """Return the largest size that this process has had, in MiB."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
