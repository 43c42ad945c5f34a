"""Exploration climbs: what is wrong only in a corner is found, and the worst cases can be kept."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from audit.explore import Worst, edited, explore, kept, main
from lossproof.conformance.host.case import Case
from lossproof.conformance.settings import Settings
from lossproof.spec import vectors

LOSS = "contrastive_loss"
CORNER = """
import numpy as np
from lossproof.reference import contrastive_loss as right

def contrastive_loss(x1, x2, dissimilar, *, margin=1.0, factor=0.5, distance="p_norm", p=2.0, eps=1e-6,
                     eps_at="difference", mask=None, reduction="mean", cotangent=None):
    found = right(x1, x2, dissimilar, margin=margin, factor=factor, distance=distance, p=p, eps=eps, eps_at=eps_at,
                  mask=mask, reduction=reduction, cotangent=cotangent)
    value, gradients = found if isinstance(found, tuple) else (found, None)
    value = value * (1 + 2.0**-52 * np.sqrt(np.max(np.abs(x1), initial=0.0)))  # wrong where a number is large
    return value if gradients is None else (value, gradients)
"""


@pytest.fixture
def corner(tmp_path):
    path = tmp_path / "corner.py"
    path.write_text(CORNER, encoding="utf-8")
    return f"{path}:contrastive_loss"


def settings(target, **more):
    return Settings(target=target, framework="numpy", losses=(LOSS,), **more)


def worst_value(target, cases):
    return max(w.share for w in explore(settings(target), cases) if w.part == "value" and w.dtype == "float64")


def test_climbing_finds_more_than_the_first_draws(corner):
    assert worst_value(corner, 10) < worst_value(corner, 150)


def test_the_reference_is_within_its_budget_wherever_it_climbs():
    found = explore(Settings(target="numpy", framework="numpy", losses=(LOSS,)), 60)
    assert {(w.part, w.dtype) for w in found} == {("value", "float64"), ("gradient", "float64")}
    assert all(0 < w.share <= 1 for w in found)


def test_the_same_seed_finds_the_same():
    first, second = (explore(Settings(target="numpy", framework="numpy", losses=(LOSS,), seed=3), 20) for _ in "ab")
    assert [w.share for w in first] == [w.share for w in second]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_edits_change_single_numbers_that_the_dtype_holds(dtype):
    rows = {"x1": np.ones((2, 3)), "x2": np.zeros((2, 3)), "dissimilar": np.array([True, False])}
    case = Case(LOSS, rows, dtype, {})
    found = edited(case, [(0, 3, 0.3), (3, -2, -0.7), (2, 1, 0.0)])
    changed = {name: np.argwhere(found.inputs[name] != rows[name]).tolist() for name in rows}
    assert changed == {"x1": [[0, 0], [0, 1]], "x2": [], "dissimilar": []}
    assert (found.inputs["x1"] == found.inputs["x1"].astype(dtype)).all()
    assert (rows["x1"] == 1).all()


def test_edits_make_no_extreme_number():
    case = Case(LOSS, {"x1": np.array([[1.0, np.inf]]), "x2": np.ones((1, 2))}, "float32", {})
    found = edited(case, [(0, 12, 0.5)] * 4 + [(2, 12, -1.0)])
    assert found.inputs["x1"].tolist() == [[(2.0**12 * 1.5) ** 2, np.inf]]
    assert edited(case, [(0, 0, -1.0)]).inputs["x1"].tolist() == [[0.0, np.inf]]


def test_exit_status_tells_what_is_beyond_its_budget(corner):
    run = CliRunner().invoke(main, [corner, "--framework", "numpy", "--loss", LOSS, "--cases", "150"])
    assert run.exit_code == 1
    assert "contrastive_loss" in run.output
    assert "value, float64: beyond its budget" in run.output
    assert "\npython -c 'import numpy as np;" in run.output
    run = CliRunner().invoke(main, ["numpy", "--loss", LOSS, "--cases", "20"])
    assert run.exit_code == 0


def test_nothing_to_explore():
    run = CliRunner().invoke(main, ["numpy", "--loss", "no_loss", "--cases", "1"])
    assert run.exit_code == 2
    assert "'no_loss' is no loss of the spec" in run.output


def test_the_worst_of_each_part_is_kept(tmp_path):
    (tmp_path / "contrastive.json").write_text("")
    case = explore(Settings(target="numpy", framework="numpy", losses=(LOSS,)), 1)[0].case
    few = [Worst("torch", LOSS, "value", "float64", share, case) for share in (0.25, 0.75, 0.5)]
    few += [Worst("jax", LOSS, "gradient", "float32", 0.1, case)]
    names = {worst.part: (worst.share, name) for worst, name in kept(few, tmp_path, "2026-11-22")}
    there, added = (lambda v: (v[:-2], v[-2:]))(json.loads((tmp_path / "contrastive.json").read_text())["vectors"])
    assert [v["id"] for v in there] == [v.id for v in vectors(LOSS)]
    assert names == {"value": (0.75, added[0]["id"]), "gradient": (0.1, added[1]["id"])}
    assert all(re.fullmatch(r"CO-v\d+", v["id"]) for v in added)
    assert not {v["id"] for v in added} & {v.id for v in vectors(LOSS)}
    assert [v["clauses"] for v in added] == [["CV-15"], ["CV-16"]]
    assert added[0]["provenance"] == "worst value found in torch, 0.75 of its budget, 2026-11-22"
