"""README's Python runs as pasted, and its function of one's own gets the verdict that README promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
EVERY = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
STARTED = [block for block in EVERY if block.startswith("# ")]  # with the line that starts it
TESTS = next(block for block in EVERY if "lossproof.testing" in block)  # of the function of one's own
BLOCKS = [block for block in EVERY if block not in (*STARTED, TESTS)]
OWN = next(block for block in BLOCKS if "def triplet_margin_loss" in block)
LINE = re.search(r"^lossproof certify my_losses.py.*$", README, re.MULTILINE)[0]


def framework(block):
    return re.search(r"^import (torch|keras|jax)\b", block, re.MULTILINE)[1]


def test_every_framework_has_a_block():
    assert {framework(block) for block in BLOCKS} == {"torch", "keras", "jax"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{framework(block)}-{len(block)}")
@pytest.mark.filterwarnings("ignore")  # what a framework says of itself in a first hour
def test_block_runs_as_pasted(block):
    pytest.importorskip(framework(block))
    exec(compile(block, "README.md", "exec"), {"__name__": "README"})


@pytest.mark.parametrize("block", STARTED, ids=framework)
def test_program_for_two_devices_runs_as_its_first_line_says(block, tmp_path):
    pytest.importorskip(framework(block))
    (tmp_path / "train.py").write_text(block, encoding="utf-8")
    line = block.split("\n")[0].removeprefix("# ").replace("torchrun", "python -m torch.distributed.run")
    line = line.replace("python ", f"{sys.executable} ", 1)
    # torchrun's processes write without a buffer, so that two mix their lines: each gets a file.
    line = line.replace("train.py", "--redirects 1 --log-dir logs train.py" if "torch" in line else "train.py")
    found = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr[-3000:]
    said = [found.stdout, *(path.read_text(encoding="utf-8") for path in tmp_path.glob("logs/**/stdout.log"))]
    losses = [float(line.split()[1]) for line in "".join(said).splitlines() if line.startswith("loss")]
    assert len(losses) == (2 if "torch" in line else 1)
    assert losses[0] == losses[-1] > 0


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Return a folder with a function of one's own as pasted, and what a run at the least effort said of it."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "my_losses.py").write_text(OWN, encoding="utf-8")
    (folder / "test_losses.py").write_text(TESTS, encoding="utf-8")
    return folder, started(folder, f"{LINE} --check value --examples 1 --write-known-failures known.toml")


def started(folder, line):
    line = line.replace("lossproof", f"{sys.executable} -m lossproof", 1) if line.startswith("lossproof") else line
    quick = {**os.environ, "TORCHDYNAMO_DISABLE": "1"}  # a compiler takes longer than all that it is asked here
    return subprocess.run(
        line, shell=True, cwd=folder, env=quick, capture_output=True, text=True, check=False, timeout=300
    )


def test_certify_your_own_is_five_lines():
    assert len([line for line in [*OWN.splitlines(), LINE] if line]) == 5


def test_the_function_of_ones_own_has_the_verdict_that_the_page_promises(stranger):
    _, run = stranger
    promised = re.search(r'"(nonconformant) …; (first CV-5, [^"]*)"', README)
    assert (run.returncode, run.stderr) == (1, "")
    assert all(words in " ".join(run.stdout.split()) for words in promised.groups())


def test_its_known_failures_are_refused_until_filled_in_and_expected_by_its_tests_then(stranger):
    folder, _ = stranger
    known, node = folder / "known.toml", "test_losses.py::test_conformance[CV-5]"
    asked = f"{sys.executable} -m pytest -p no:cacheprovider '{node}'"
    assert "entry 'CV-5' of triplet_margin_loss has no reason: fill it in" in started(folder, asked).stdout
    known.write_text(known.read_text(encoding="utf-8").replace('reason = ""', 'reason = "so far"'), encoding="utf-8")
    assert "1 xfailed" in started(folder, asked).stdout


@pytest.mark.parametrize("name", ["one_name.py", "one_name_hard.py"])
def test_the_range_of_one_name_is_what_the_script_prints(name):
    script = [sys.executable, str(ROOT / "examples" / name)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert said.startswith("from 0.")
    assert said in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "audit/README.md", "spec/README.md", *DOCS])
def test_every_file_that_a_page_points_at_is_there(page):
    here = ROOT / page
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", here.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (here.parent / target).exists()] == []
