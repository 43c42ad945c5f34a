"""The lines of the declared failures need nothing of this project."""

import tomllib
from importlib.resources import files

import pytest

LINES = [
    pytest.param(entry["reproduce"], id=f"{folder.name}/{path.name}: {entry['finding']}")
    for folder in (files("lossproof.conformance.peers") / "known").iterdir()
    for path in folder.iterdir()
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["failure"]
    if "reproduce" in entry
]


@pytest.mark.parametrize("line", LINES)
def test_the_line_of_a_declared_failure_imports_the_library_alone(line):
    assert "lossproof" not in line


def test_there_are_lines():
    assert len(LINES) > 100
