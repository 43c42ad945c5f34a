"""README's Python runs as pasted, and its function of one's own gets the verdict that README promises."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def framework(block):
    return re.search(r"^import (torch|keras|jax)\b", block, re.MULTILINE)[1]


def test_every_framework_has_a_block():
    assert {framework(block) for block in BLOCKS} == {"torch", "keras", "jax"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{framework(block)}-{len(block)}")
@pytest.mark.filterwarnings("ignore")  # what a framework says of itself in a first hour
def test_block_runs_as_pasted(block):
    pytest.importorskip(framework(block))
    exec(compile(block, "README.md", "exec"), {"__name__": "README"})
