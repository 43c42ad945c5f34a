"""The lines of the declared failures need nothing of this project."""

import tomllib
from importlib.resources import files

import pytest

LINES = [
    pytest.param(entry["reproduce"], id=f"{path.name}: {entry['finding']}")
    for path in files("lossproof.conformance.peers").iterdir()
    if path.name.endswith(".toml")
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["failure"]
    if "reproduce" in entry
]


@pytest.mark.parametrize("line", LINES)
def test_the_line_of_a_declared_failure_imports_the_library_alone(line):
    assert "lossproof" not in line
