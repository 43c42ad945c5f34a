"""The action for a job of CI: its lines run as a runner runs them, with a Python that notes what it is asked."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lossproof.conformance.command import main

ROOT = Path(__file__).parents[1]
ACTION = (ROOT / "action.yml").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
INPUTS = re.findall(r"^  ([a-z-]+):$", ACTION.partition("\nruns:")[0], re.MULTILINE)
NAMED = dict(re.findall(r"^        ([A-Z_]+): \$\{\{ inputs\.([a-z-]+) \}\}$", ACTION, re.MULTILINE))
INSTALL, CERTIFY = (
    textwrap.dedent(block) or line
    for line, block in re.findall(r"^      run: (?:\||(.*))\n((?: {8}.*\n)*)", ACTION, re.MULTILINE)
)
PYTHON = """#!{python}
import os, sys
with open({noted!r}, "w") as noted:
    noted.write("\\0".join(sys.argv[1:]))
print("### a summary")
sys.exit({status})
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a step with these inputs, and returns its exit status and what Python was asked."""

    def stepped(code, status=0, **inputs):
        noted, python = tmp_path / "noted", tmp_path / "bin" / "python"
        python.parent.mkdir(exist_ok=True)
        python.write_text(PYTHON.format(python=sys.executable, noted=str(noted), status=status), encoding="utf-8")
        python.chmod(0o755)
        given = {name: inputs.get(key.replace("-", "_"), "") for name, key in NAMED.items()}
        own = {"PATH": f"{python.parent}:{os.environ['PATH']}", "GITHUB_ACTION_PATH": "/actions/lossproof v1"}
        own["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", code]
        done = subprocess.run(shell, cwd=tmp_path, env={**os.environ, **own, **given}, check=False)
        return done.returncode, noted.read_text(encoding="utf-8").split("\0")

    return stepped


def test_the_action_has_its_inputs_and_each_reaches_a_step_as_a_variable():
    assert {"targets", "framework", "loss", "known-failures", "gate"} <= set(INPUTS)
    assert sorted(NAMED.values()) == sorted(INPUTS)
    assert "${{" not in INSTALL + CERTIFY  # what somebody writes into an input is never code


def test_the_judge_is_installed_from_where_the_action_lies(run):
    assert run(INSTALL) == (0, ["-m", "pip", "install", "--quiet", "/actions/lossproof v1[certify]"])


def test_what_is_printed_is_added_to_the_summary(run, tmp_path):
    (tmp_path / "summary.md").write_text("before\n", encoding="utf-8")
    run(CERTIFY, targets="mylib:f")
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == "before\n### a summary\n"


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_step_ends_as_the_judge_does(run, status):
    assert run(CERTIFY, status, targets="mylib:f")[0] == status


GIVEN = {
    "one": ({"targets": "mylib:f"}, {"targets": ("mylib:f",), "losses": (), "framework": None}),
    "all": (
        {"targets": "mylib:f\n  mylib:g\n", "framework": "torch", "loss": "circle_loss joint_loss",
         "gate": "value,gradient", "known_failures": "the known.toml",
         "arguments": "--fixed eps=0 --limit dtype=float32,float64"},
        {"targets": ("mylib:f", "mylib:g"), "framework": "torch", "losses": ("circle_loss", "joint_loss"),
         "known_failures": Path("the known.toml"), "gate": "value,gradient", "fixed": ("eps=0",),
         "limits": ("dtype=float32,float64",)},
    ),
    "command": ({"command": "node 'port.mjs'"}, {"targets": (), "command": "node 'port.mjs'"}),
    "code": ({"targets": "$(touch;here) * `x`"}, {"targets": ("$(touch;here)", "*", "`x`")}),
}  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), GIVEN.values(), ids=GIVEN)
def test_the_command_line_understands_what_the_action_says(run, given, wanted):
    _, words = run(CERTIFY, **given)
    assert words[:3] == ["-m", "lossproof", "certify"]
    asked = main.commands["certify"].make_context("certify", words[3:]).params
    assert {"shape": "markdown", **wanted}.items() <= asked.items()


def test_the_lines_to_paste_name_inputs_of_the_action():
    (lines,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(lines.splitlines()) == 6
    assert "- uses: " in lines.splitlines()[0]
    assert set(re.findall(r"^ +([a-z-]+): .", lines, re.MULTILINE)) <= set(INPUTS)


def test_the_action_is_yaml_of_the_form_that_a_runner_reads():
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load(ACTION)
    assert action.keys() == {"name", "description", "inputs", "runs"}
    assert list(action["inputs"]) == INPUTS
    assert all(entry.keys() == {"description", "default"} for entry in action["inputs"].values())
    assert action["runs"]["using"] == "composite"
    assert [step["run"] for step in action["runs"]["steps"]] == [INSTALL, CERTIFY]
    assert {step["shell"] for step in action["runs"]["steps"]} == {"bash"}
    assert action["runs"]["steps"][1]["env"] == {name: f"${{{{ inputs.{key} }}}}" for name, key in NAMED.items()}
    (lines,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (step,) = yaml.safe_load(lines)
    assert step.keys() == {"uses", "with"}
    assert step["with"].keys() <= set(INPUTS)
