"""README's Python runs as pasted, and its function of one's own gets the verdict that README promises."""

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
BLOCKS = [block for block in EVERY if block not in STARTED]


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
    found = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr[-3000:]
    losses = [float(said.split()[1]) for said in found.stdout.splitlines() if said.startswith("loss")]
    assert len(losses) == (2 if "torch" in line else 1)
    assert losses[0] == losses[-1] > 0


def test_the_range_of_one_name_is_what_the_script_prints():
    script = [sys.executable, str(ROOT / "examples" / "one_name.py")]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert said.startswith("from 0.")
    assert said in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "audit/README.md", "spec/README.md", *DOCS])
def test_every_file_that_a_page_points_at_is_there(page):
    here = ROOT / page
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", here.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (here.parent / target).exists()] == []
