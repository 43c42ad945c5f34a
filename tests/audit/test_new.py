"""A loss that is laid out from its page: the tree that comes of it imports, and nothing is written twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit.layout import Layout
from audit.new import BY_HAND, edits, lay_out, left, up_to_date
from lossproof.spec import losses, page

ROOT = Path(__file__).parents[2]
WINGS = ("spec", "reference", "backends", "conformance")
OPTIONS = """
sharpness = { kind = "real", default = 2.0, range = "(0, 1]" }
other     = { kind = "integer", default = -1, range = "outside [0, C)" }
strict    = { kind = "bool", default = false }
form      = { kind = "choice", default = "b", choices = ["a", "b"] }
"""
TABLE = 'class_weights = { shape = "C D", kind = "float", differentiable = true }'
IMPORTS = """
from audit.mutants.made_up import CORRECT, MUTANTS
from lossproof.backends import jax, tensorflow, torch
from lossproof.conformance.judge.exact import made_up
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import losses
import lossproof.reference as reference
assert {"made_up_loss", "MadeUpLoss"} <= set(torch.__all__) & set(jax.__all__) & set(tensorflow.__all__)
assert losses()["made_up_loss"].name == "made_up" and "made_up_loss" in reference.__all__
clauses = {probe.clause for probe in plan("made_up_loss", losses_known()["made_up_loss"])}
assert clauses >= {"MA-1", "MA-2", "MA-3", "CV-37"}
torch.MadeUpLoss(margin=2.0), jax.MadeUpLoss(other=-4)
print(reference.__file__)
"""


@pytest.fixture
def tree(tmp_path):
    """Return a copy of what the command writes to, with the package put together beside it."""
    for folder in (*WINGS, "audit", "package", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    installed = tmp_path / "installed" / "lossproof"
    shutil.copytree(tmp_path / "package", installed)
    for wing in WINGS:
        (installed / wing).symlink_to(tmp_path / wing)
    return tmp_path


@pytest.fixture
def made_up(tree):
    """Return the tree with a page of every kind of option, and with a table."""
    assert lay_out("made_up", tree) == ["spec/made_up.md"]
    path = tree / "spec" / "made_up.md"
    text = path.read_text(encoding="utf-8").replace("[parameters]\n", f"[parameters]{OPTIONS}")
    path.write_text(text.replace("mask       = {", f"{TABLE}\nmask       = {{"), encoding="utf-8")
    return tree


def contents(tree):
    return {path: path.read_bytes() for path in tree.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_a_tree_with_a_loss_that_is_laid_out_is_whole(made_up):
    assert set(lay_out("made_up", made_up)) >= {file.format("made_up") for file in BY_HAND}
    environment = {**os.environ, "PYTHONPATH": f"{made_up / 'installed'}{os.pathsep}{made_up}"}
    run = [sys.executable, "-W", "ignore", "-c", IMPORTS]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=made_up)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(made_up / "installed")


def test_a_second_run_changes_nothing(made_up):
    lay_out("made_up", made_up)
    before = contents(made_up)
    assert lay_out("made_up", made_up) == []
    assert contents(made_up) == before


def test_what_is_written_by_hand_stays_and_ranges_of_clauses_follow_the_page(made_up):
    lay_out("made_up", made_up)
    own, path = made_up / "reference" / "made_up.py", made_up / "spec" / "made_up.md"
    own.write_text('"""Clauses MA-1 to MA-3, mine."""\n', encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8") + "\n### MA-4 · MUST · value · one more\n", encoding="utf-8")
    assert "spec/README.md" in lay_out("made_up", made_up)
    assert own.read_text(encoding="utf-8") == '"""Clauses MA-1 to MA-4, mine."""\n'
    assert "| MA-1 to MA-4 |" in (made_up / "spec" / "README.md").read_text(encoding="utf-8")


def test_what_is_left_is_said_in_order(made_up):
    lay_out("made_up", made_up)
    found = [line.partition(":")[0] for line in left("made_up", made_up)]
    assert found[:3] == ["spec/made_up.md", "reference/made_up.py", "reference/judged/made_up.py"]
    assert found[-2:] == ["README.md", "spec/README.md"]


@pytest.mark.parametrize("loss", losses())
def test_every_place_that_names_a_loss_is_known(loss):
    own = Layout(losses()[loss])
    for changes in (edits, up_to_date):
        for file, text in changes(own, ROOT):
            assert text == (ROOT / file).read_text(encoding="utf-8"), file


def test_nothing_is_left_of_the_losses_there_are():
    assert [line for own in losses().values() for line in left(own.name)] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Made-up", "a page is named in small letters"),
        ("triplet_margin", r"no loss of rows \(B, D\) with labels"),
        ("mining", "has no loss"),
    ],
)
def test_a_page_that_no_skeleton_fits_is_refused(tree, name, message):
    before = contents(tree)
    with pytest.raises(ValueError, match=message):
        lay_out(name, tree)
    assert contents(tree) == before


def test_a_title_writes_the_name_of_the_class():
    assert Layout(page("cosface")).cls == "CosFaceLoss"
    assert Layout(page("batch_hard")).cls == "BatchHardTripletLoss"
    assert Layout(page("cosface")).source == "Wang et al. (2018), eq. 4"
