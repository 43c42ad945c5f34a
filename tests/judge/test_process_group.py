"""What an implementation has started ends with it: after the session, and when the judge is interrupted or killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.session import Session, worker_command

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

TOOL = """
import os, subprocess, sys, time
import numpy as np
from lossproof.reference import triplet_margin_loss as reference

started = []

def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, cotangent=None):
    if not started:
        started.append(subprocess.Popen(["sleep", "600"]))
        with open({pids!r}, "a") as pids:
            pids.write(f"{{started[0].pid}}\\n{{os.getpid()}}\\n")
    {line}
    return reference(anchor, positive, negative, margin=margin, cotangent=cotangent)
"""
LOSS = "triplet_margin_loss"
# The judge, which takes Ctrl-C as a terminal's program does: a test run in the background may have been told to ignore
# it. The process sets this itself, because a function before its start would fork a test run that has loaded JAX.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("lossproof.conformance", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def tool(tmp_path):
    def made(line="pass"):
        path = tmp_path / "tool.py"
        path.write_text(TOOL.format(pids=str(tmp_path / "pids"), line=line), encoding="utf-8")
        return f"{path}:{LOSS}"

    yield made
    for pid in started(tmp_path):  # of a judge that leaves them behind
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def started(folder):
    path = folder / "pids"
    return [int(line) for line in path.read_text(encoding="utf-8").split()] if path.is_file() else []


def alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def left(folder, seconds=20):
    """Return the processes that still run after some seconds at most."""
    deadline = time.monotonic() + seconds
    while any(map(alive, started(folder))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in started(folder) if alive(pid)]


def case():
    rows = {"anchor": [[0.0, 0.0]], "positive": [[3.0, 4.0]], "negative": [[0.0, 1.0]]}
    return Case(LOSS, {name: np.array(row) for name, row in rows.items()}, "float64", {}, order=0)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("pass", id="that answers"),
        pytest.param("os._exit(7)", id="that has ended already"),
        pytest.param("time.sleep(600)", id="that hangs"),
        pytest.param("raise ValueError('no')", id="that raises"),
    ],
)
def test_what_a_worker_has_started_ends_with_the_session(tool, tmp_path, line):
    session = Session(worker_command(tool(line), "numpy", "cpu"), time_limit=3.0)
    session.ask(case())
    session.close()
    assert started(tmp_path)
    assert left(tmp_path) == []


def test_what_a_worker_has_started_ends_when_it_is_started_again(tool, tmp_path):
    session = Session(worker_command(tool("os._exit(7)"), "numpy", "cpu"))
    session.ask(case())
    assert left(tmp_path) == []
    session.close()


def running(tool, tmp_path, jobs):
    """Start a run, and return it once a worker has been called, of the jobs where there are some."""
    command = [sys.executable, "-c", INTERRUPTIBLE, "certify", tool(), "--framework", "numpy"]
    command += ["--jobs", jobs, "--report", str(tmp_path / "out")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, start_new_session=True, **quiet)
    deadline = time.monotonic() + 240
    wanted = 2 if jobs == "1" else 4  # the first is asked what it offers, and gone before the jobs begin
    while len(started(tmp_path)) < wanted and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(started(tmp_path)) >= wanted
    return run


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_ends_with_2_in_one_line_and_leaves_nothing(tool, tmp_path, jobs):
    run = running(tool, tmp_path, jobs)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    _, said = run.communicate(timeout=60)
    assert (run.returncode, len(said.splitlines()), "interrupted" in said) == (2, 1, True), said
    assert left(tmp_path) == []


def test_a_judge_that_is_killed_leaves_nothing(tool, tmp_path):
    run = running(tool, tmp_path, "1")
    run.kill()
    run.communicate(timeout=60)
    assert left(tmp_path) == []
