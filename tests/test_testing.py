"""One line in a library's own tests: a test a clause, strict known failures, one process, nothing started too early."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.results import CONFORMANT, NONCONFORMANT, UNSUPPORTED, Finding, Mismatch, Result
from lossproof.conformance.report import known_failures
from lossproof.conformance.settings import Settings
from lossproof.conformance.suite import NOTHING, Suite
from lossproof.spec import losses
from lossproof.testing import conformance

LOSS = "triplet_margin_loss"
HELLO = {"framework": "numpy", "losses": {}, "origin": {}}


def names_of(test):
    (mark,) = test.pytestmark
    return list(mark.args[1])


# What is collected


def test_each_clause_is_a_test_under_its_name_and_those_of_the_own_page_come_first():
    names = names_of(conformance("mylib:f", framework="torch", loss=LOSS))
    own = losses()[LOSS].clauses
    assert names[: len(own)] == [name for name in own if name in names]
    assert {"TM-1", "DI-2", "CV-5", "CV-28"} <= set(names)
    assert len(names) == len(set(names))


def test_the_loss_is_that_of_the_own_name_where_none_is_given():
    named = conformance("mylib:losses.cosface_loss", framework="torch")
    assert names_of(named) == names_of(conformance("mylib:f", framework="torch", loss="cosface_loss"))


def test_a_framework_may_be_an_adapter_of_ones_own():
    assert "TM-1" in names_of(conformance("mylib:f", framework="mylib.adapter:Adapter", loss=LOSS))


def test_where_there_are_several_losses_each_name_says_which():
    names = names_of(conformance("mylib:", framework="torch", loss=(LOSS, "cosface_loss")))
    assert {f"{LOSS}-TM-1", f"{LOSS}-CV-5", "cosface_loss-CV-5"} <= set(names)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": "mylib:f", "loss": LOSS}, "mylib:f: which framework? give framework="),
        ({"target": "mylib:f", "loss": LOSS, "framework": "pytorch"}, "framework 'pytorch' must be one of torch, "),
        ({"target": "mylib", "loss": LOSS, "framework": "torch"}, "'mylib' is no target: "),
        ({"target": "mylib:f", "framework": "torch"}, "mylib:f: which loss of the spec? give loss="),
        ({"target": "mylib:f", "framework": "torch", "loss": "triplet"}, "no loss 'triplet'; the spec has "),
        ({"command": "node 'port.mjs", "loss": LOSS}, '--command "node \'port.mjs": No closing quotation'),
        ({"target": "mylib:f", "framework": "numpy", "loss": LOSS, "known_failures": "no.toml"}, "cannot read "),
        ({"target": "no_such_library:f", "framework": "numpy", "loss": LOSS}, "No module named 'no_such_library'"),
    ],
)
def test_what_is_wrong_with_a_target_is_said_by_the_test_and_not_before(tmp_path, given, words):
    test = conformance(**given)
    module = SimpleNamespace(path=tmp_path / "test_it.py", addfinalizer=lambda end: None)
    request = SimpleNamespace(node=SimpleNamespace(getparent=lambda kind: module))
    for name in names_of(test)[:2]:  # the second does not ask again
        with pytest.raises(pytest.fail.Exception) as failed:
            test(clause=name, request=request)
        assert words in str(failed.value)


# What came of a clause


def found(clause, label=""):
    rows = {name: np.zeros((1, 2)) for name in ("anchor", "positive", "negative")}
    return Finding(LOSS, clause, label, "value", Mismatch("value", "loss", 4.25, 5.75), Case(LOSS, rows, "float64", {}))


class Answering:
    """In place of a process: findings by the name of a probe, and a verdict where there is none."""

    def __init__(self, findings, declared=(), verdict=CONFORMANT):
        self.judge, self.probes, self.asked = SimpleNamespace(offers={LOSS}), [None], []
        self.findings, self.verdict = findings, verdict
        self.declared = [{"loss": LOSS, "finding": name, "reason": "known"} for name in declared]

    def judged(self, probe):
        self.asked.append(probe.name)
        findings = self.findings.get(probe.name.removeprefix(f"{LOSS}/"), [])
        result = Result(probe, NONCONFORMANT if findings else self.verdict, findings, run=1, reason="no option p")
        known_failures.apply(self.declared, [result])
        return result


def suite_of(answering):
    suite = Suite(Settings("mylib:f", "numpy", losses=[LOSS]), "known.toml")

    def opened(module):
        suite._entries, suite._hello = answering.declared, HELLO
        return answering

    suite._open = opened
    return suite


ENDINGS = (pytest.fail.Exception, pytest.skip.Exception, pytest.xfail.Exception)


def outcome_of(answering, clause):
    """Return the outcome of the test of a clause, and its words."""
    try:
        suite_of(answering).test(clause, None)
    except ENDINGS as ended:
        return type(ended).__name__.lower(), str(ended)
    return "passed", ""


WRONG = {"value/TM-1": [found("TM-1")]}


def test_a_clause_without_a_finding_passes():
    assert outcome_of(Answering(WRONG), "CV-3") == ("passed", "")


def test_a_finding_fails_with_its_clause_numbers_and_line():
    outcome, words = outcome_of(Answering(WRONG), "TM-1")
    assert outcome == "failed"
    assert re.match(r"TM-1: a term is", words)
    assert "loss: got 4.25, want 5.75" in words
    assert "printf" in words


def test_a_clause_of_which_nothing_is_offered_is_skipped():
    assert outcome_of(Answering({}, verdict=UNSUPPORTED), "TM-1") == ("skipped", "unsupported: no option p")


def test_a_declared_finding_is_expected_to_fail():
    assert outcome_of(Answering(WRONG, ["TM-1"]), "TM-1") == ("xfailed", "known-failing: TM-1")


def test_with_runxfail_a_declared_finding_fails(monkeypatch):
    monkeypatch.setattr(pytest, "xfail", lambda reason: None)  # as pytest does then
    assert outcome_of(Answering(WRONG, ["TM-1"]), "TM-1")[0] == "failed"


def test_a_declared_finding_beside_another_fails():
    both = {"value/TM-1": [found("TM-1"), found("DI-2")]}
    assert outcome_of(Answering(both, ["TM-1"]), "TM-1")[0] == "failed"


def test_a_declared_finding_that_passes_fails_and_names_its_entry():
    words = "known failure TM-1 of known.toml does not fail any more: take its entry out"
    assert outcome_of(Answering({}, ["TM-1"]), "TM-1") == ("failed", words)


def test_one_stale_label_of_a_clause_fails_its_test():
    one = {"errors/CV-28[margin -1]": [found("CV-28", "margin -1")]}
    outcome, words = outcome_of(Answering(one, ["CV-28/margin -1", "CV-28/margin nan"]), "CV-28")
    assert (outcome, "CV-28/margin nan" in words, "CV-28/margin -1" in words) == ("failed", True, False)


def test_a_declared_finding_that_the_probe_of_another_clause_finds_is_not_stale():
    elsewhere = {"reductions/CV-3": [found("TM-1")]}
    assert outcome_of(Answering(elsewhere, ["TM-1"]), "TM-1") == ("passed", "")


def test_nothing_is_asked_twice_and_no_other_clause_without_need():
    answering = Answering(WRONG)
    suite = suite_of(answering)
    for _ in range(2):
        with pytest.raises(pytest.fail.Exception):
            suite.test("TM-1", None)
    assert answering.asked == [probe.name for probe in suite.probes["TM-1"]]


def test_the_one_test_of_nothing_has_a_name():
    assert list(Suite(Settings("mylib:f", "numpy")).probes) == [NOTHING]


# A library's own tests


LIBRARY = """
import os
from lossproof.reference import triplet_margin_loss as reference

with open({pids!r}, "a") as pids:
    pids.write(f"{{os.getpid()}}\\n")

def triplet(a, positive, negative, *, margin=1.0, reduction="mean", cotangent=None):
    found = reference(a, positive, negative, margin=margin, reduction=reduction, cotangent=cotangent)
    if reduction != "sum":
        return found
    return 2 * found if cotangent is None else (2 * found[0], {{name: 2 * g for name, g in found[1].items()}})
"""
TESTS = """
from lossproof.testing import conformance

test_conformance = conformance(
    "mylib.losses:triplet", framework="numpy", loss="triplet_margin_loss", rename={"a": "anchor"}, examples=1,
    known_failures="known.toml",
)
"""
KNOWN = f'[[failure]]\nloss = "{LOSS}"\nfinding = "CV-2"\nreason = "Sums are twice as large."\n'


@pytest.fixture
def library(tmp_path):
    """Return a folder with a library in src/, which pytest's own configuration adds, and its tests in tests/."""
    (tmp_path / "src" / "mylib").mkdir(parents=True)
    code = LIBRARY.format(pids=str(tmp_path / "pids"))
    (tmp_path / "src" / "mylib" / "losses.py").write_text(code, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_losses.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "tests" / "known.toml").write_text(KNOWN, encoding="utf-8")
    configuration = "[pytest]\npythonpath = src\nfilterwarnings = error\naddopts = --strict-markers\n"
    (tmp_path / "pytest.ini").write_text(configuration, encoding="utf-8")
    return tmp_path


def pytested(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)


def asked(*clauses):
    return [f"tests/test_losses.py::test_conformance[{clause}]" for clause in clauses]


def pids(folder):
    path = folder / "pids"
    return [int(line) for line in path.read_text(encoding="utf-8").split()] if path.is_file() else []


def test_to_collect_starts_nothing_and_a_clause_is_found_by_its_name(library):
    found = pytested(library, "--collect-only", "-q", "-k", "TM-1").stdout
    assert asked("TM-1")[0] in found.splitlines()
    assert "CV-2" not in found
    assert pids(library) == []


def test_each_clause_has_its_own_outcome_and_the_process_of_each_job_ends(library):
    run = pytested(library, *asked("CV-2", "CV-3", "DI-3"), "-n", "2")
    assert "1 passed, 1 skipped, 1 xfailed" in run.stdout, run.stdout[-3000:]
    assert "[CV-2] - known-failing: CV-2" in run.stdout
    started = pids(library)
    assert len(started) == len(set(started)) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in started if Path(f"/proc/{pid}").exists() and os.kill(pid, 0) is None] == []
