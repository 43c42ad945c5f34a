"""Where the judge can find fault, it must have found some: with `--every-place` a run fails that leaves a place out.

A place is a call that makes a mismatch or a finding; those of all processes of a run count.
"""

import ast
import sys
from pathlib import Path

import pytest

from lossproof import conformance
from lossproof.conformance.judge import judge, results

HOME = Path(conformance.__file__).parent
MAKERS = {"Mismatch", "finding", "Finding"}
REACHED = set()


def places():
    """Return the calls in the judge's code that make a mismatch or a finding: file:line -> text."""
    found = {}
    for path in sorted(HOME.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in MAKERS:
                found[f"{path.relative_to(HOME)}:{node.lineno}"] = text.split("\n")[node.lineno - 1].strip()
    return found


def recording(make):
    """Return a method that notes where it is called from."""

    def recorded(*given, **named):
        frame = sys._getframe(1)
        REACHED.add(f"{frame.f_code.co_filename.removeprefix(f'{HOME}/')}:{frame.f_lineno}")
        return make(*given, **named)

    return recorded


def pytest_addoption(parser):
    parser.addoption("--every-place", action="store_true", help="fail where a place of the judge has found no fault")
    parser.addoption(
        "--every-pair", action="store_true", help="ask every kind of wrong code of every loss, not a third"
    )


def pytest_configure():
    for owner, name in (
        (results.Mismatch, "__init__"),
        (results.Finding, "__init__"),
        (judge.Judge, "finding"),
    ):
        setattr(owner, name, recording(getattr(owner, name)))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    REACHED.update(getattr(node, "workeroutput", {}).get("reached", ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["reached"] = sorted(REACHED)
    elif session.config.getoption("every_place") and missing() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("every_place"):
        terminalreporter.section("places of the judge that found no fault")
        for place, text in missing().items():
            terminalreporter.line(f"{place}  {text}", red=True)
        terminalreporter.line(f"{len(places()) - len(missing())} of {len(places())} found some")


def missing():
    """Return the places that no call came from."""
    return {place: text for place, text in places().items() if place not in REACHED}
