"""Whatever a program does instead of answering: one case is errored, its processes end, and the next case is asked."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lossproof.conformance.host import session as session_module
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.session import Session

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

# A program whose every loss is 5. What it has started holds its output open, as a careless port's would.
PROGRAM = """
import base64, json, os, struct, subprocess, sys, time

child = subprocess.Popen(["sleep", "600"])
with open({pids!r}, "a") as pids:
    pids.write(f"{{os.getpid()}}\\n{{child.pid}}\\n")

def array(*numbers, shape=()):
    data = base64.b64encode(struct.pack(f"<{{len(numbers)}}d", *numbers)).decode()
    return {{"dtype": "float64", "shape": list(shape), "data": data}}

def say(message):
    print(json.dumps(message), flush=True)

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "bye":
        break
    if message["type"] == "hello":
        say({{"type": "hello", "protocol": 1, "name": "port", "dtypes": ["float64"], "losses": {{}}}})
        continue
    answer = {{"type": "answer", "id": message["id"], "value": array(5.0)}}
    if message["parameters"].get("margin") != 8:
        say(answer)
        continue
    {bad}
"""
GARBAGE = "answered garbage: "
BAD = {
    "dies": ("os._exit(7)", "crashed (exit status 7)"),
    "is killed": ("os.kill(os.getpid(), 9)", "crashed (exit status -9)"),
    "dies with a megabyte of last words": ("os.write(2, b'x' * 10**6); os._exit(7)", "crashed (exit status 7): xxx"),
    "hangs": ("time.sleep(600)", "gave no answer within 1 s"),
    "hangs within a line": ("sys.stdout.write('{'); sys.stdout.flush(); time.sleep(600)", "gave no answer within 1 s"),
    "floods its output with lines": ("while True: print('x' * 1000)", f"{GARBAGE}Expecting value"),
    "floods its output with one line": ("while True: sys.stdout.write('x' * 65536)", f"{GARBAGE}a line without an end"),
    "answers the case before": ("say(answer | {'id': message['id'] - 1})", f"{GARBAGE}the answer to case 1, not to"),
    "answers the case to come": ("say(answer | {'id': message['id'] + 1})", f"{GARBAGE}the answer to case 3, not to"),
    "answers under a megabyte of id": ("say(answer | {'id': 'x' * 10**6})", f"{GARBAGE}the answer to case xxx"),
    "answers with half an object": ('print(\'{"type": "answer", "id"\', flush=True)', f"{GARBAGE}Expecting ':'"),
    "answers with less than its shape": ("say(answer | {'value': array(5.0, shape=[3])})", GARBAGE),
    "answers with more than its shape": ("say(answer | {'value': array(5.0, 6.0)})", GARBAGE),
    "answers with a field too many": ("say(answer | {'colour': 'red'})", f"{GARBAGE}a field 'colour'"),
    "answers with a megabyte of a field": ("say(answer | {'x' * 10**6: 1})", f"{GARBAGE}a field 'xxx"),
    "answers with a dtype of a megabyte": ("say(answer | {'value': array(5.0) | {'dtype': 'x' * 10**6}})", GARBAGE),
    "answers with a megabyte of text": ("print('x' * 10**6, flush=True)", f"{GARBAGE}Expecting value"),
    "reads no more": ("say(answer); time.sleep(600)", "gave no answer within 1 s"),
    "writes and reads no more": ("say(answer)\n    while True: print('x' * 1000)", GARBAGE),
}


@pytest.fixture
def port(tmp_path):
    """Return a function that starts the program, with what it does where the margin is 8."""
    sessions = []

    def start(bad):
        path = tmp_path / "port.py"
        path.write_text(PROGRAM.format(pids=str(tmp_path / "pids"), bad=bad), encoding="utf-8")
        sessions.append(Session([sys.executable, "-S", str(path)], time_limit=1.0))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()
    for pid in filter(alive, started(tmp_path)):  # of a session that leaves them behind
        os.kill(pid, signal.SIGKILL)


def started(folder):
    return [int(line) for line in (folder / "pids").read_text(encoding="utf-8").split()]


def alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def left(pids):
    """Return the processes that still run after some seconds at most."""
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return list(filter(alive, pids))


def asked(session, margin, rows=1):
    given = {name: np.zeros((rows, 2)) for name in ("anchor", "positive", "negative")}
    return session.ask(Case("triplet_margin_loss", given, "float64", {"margin": margin}, order=0))


@pytest.mark.parametrize(("bad", "words"), BAD.values(), ids=BAD)
def test_a_program_that_misbehaves_is_errored_on_one_case_and_leaves_nothing(port, tmp_path, monkeypatch, bad, words):
    monkeypatch.setattr(session_module, "_LONGEST_LINE", 1 << 21)
    session = port(bad)
    assert asked(session, 1.0).value == 5.0
    answer = asked(session, 8.0)
    if answer.value is not None:  # it misbehaves after its answer, when the next case is more than a pipe holds
        answer = asked(session, 8.0, rows=4000)
    assert (answer.failure or "").startswith(words)
    assert len(answer.failure) < 3000
    first = started(tmp_path)
    assert left(first) == []
    assert asked(session, 1.0).value == 5.0
    assert len(started(tmp_path)) == len(first) + 2
    session.close()
    assert left(started(tmp_path)) == []


@pytest.mark.parametrize(
    "said", ["'unsupported': 'x' * 10**6", "'error': {'type': 'x' * 10**6, 'message': 'x' * 10**6}"]
)
def test_a_megabyte_of_words_in_an_answer_is_cut(port, said):
    answer = asked(port(f"say({{'type': 'answer', 'id': message['id'], {said}}})"), 8.0)
    assert 0 < len(answer.unsupported or answer.problem) < 3000


def test_a_program_that_closes_its_output_and_lives_on_is_ended(port, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "_PATIENCE", 0.1)
    assert asked(port("child.kill(); os.close(1); time.sleep(600)"), 8.0).failure == "closed its output"
    assert left(started(tmp_path)) == []
