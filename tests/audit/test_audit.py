"""`python -m audit`: its list of tools is complete, and a slip in their arguments is status 2 and one line."""

import importlib.util
import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import audit
from audit import alarms, explore, kills
from audit.__main__ import TOOLS, main


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["audit", *arguments])
    return main()


def test_every_module_with_a_main_is_a_tool():
    here = {path.stem for path in Path(audit.__file__).parent.glob("*.py")} - {"__init__", "__main__"}
    if importlib.util.find_spec("cosmic_ray") is None:
        here.remove("mutation")  # whose library only its own environment has
    assert {name for name in here if hasattr(importlib.import_module(f"audit.{name}"), "main")} == TOOLS.keys() & here
    assert TOOLS.keys() - here <= {"mutation"}


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["kill"], 2), (["--help"], 0)])
def test_without_a_tool_it_names_them_all(monkeypatch, capsys, arguments, status):
    assert run(monkeypatch, *arguments) == status
    said = capsys.readouterr().out
    assert [name for name in TOOLS if f"  {name} " not in said] == []


def test_a_tool_has_the_arguments_that_follow_its_name(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "kills", "--only", "no_loss")
    assert (ended.value.code, "python -m audit kills" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        (alarms, ["a.py:f"], "a.py:f: which framework? give --framework"),
        (explore, ["numpy", "a.py:f"], "a.py:f: which framework? give --framework"),
        (explore, ["pytorch"], "did you mean 'torch'"),
    ],
)
def test_a_target_that_is_none_is_status_2_and_one_line(tool, arguments, words):
    result = CliRunner().invoke(tool.main, arguments)
    assert (result.exit_code, len(result.stderr.splitlines()), words in result.stderr) == (2, 1, True), result.stderr


@pytest.mark.parametrize("tool", [alarms, explore])
def test_every_option_has_help(tool):
    assert [option.name for option in tool.main.params if isinstance(option, click.Option) and not option.help] == []


def test_a_run_that_was_interrupted_goes_on_with_what_it_had_judged(monkeypatch, tmp_path):
    monkeypatch.setattr(kills, "PART", tmp_path / "kills.part.jsonl")
    row = {"mutant": "ci-no-one", "killed": True, "seconds": [0.1]}
    kills.PART.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert kills.rows_of(["ci-no-one"], Console(quiet=True), resume=True, named={}) == {"ci-no-one": row}


def test_the_whole_plan_is_not_asked_where_an_earlier_run_has_named_its_clauses(monkeypatch):
    monkeypatch.setattr(kills, "SEEDS", (0,))
    monkeypatch.setattr(kills, "findings", lambda *_: pytest.fail("the whole plan was asked"))
    monkeypatch.setattr(kills, "kill", lambda mutant, seed: kills.Kill(mutant.id, mutant.clauses[0], "value", 0.1))
    row = kills.tried("ci-no-one", named=["CI-1"])
    assert (row["killed"], row["named"]) == (True, ["CI-1", "CI-5"])  # the earlier run's, and what killed it now
