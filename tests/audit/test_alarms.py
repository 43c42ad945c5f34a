"""The hunt for false alarms: what is judged, with how many cases and seeds, and that a bug would be an alarm."""

from __future__ import annotations

from collections import Counter

import pytest
from click.testing import CliRunner

from audit.alarms import hunt, hunts, main
from lossproof.conformance.settings import Settings
from lossproof.spec import losses


def test_variants_share_the_cases_and_the_seeds_of_a_loss():
    cases, seeds = Counter(), {loss: [] for loss in losses()}
    for own, share, own_seeds in hunts(Settings(target="variants", framework="torch", seed=50), 1000, 20):
        (loss,) = own.losses
        cases[loss] += share
        seeds[loss] += range(own.seed, own.seed + own_seeds)
    assert set(cases) == set(losses())
    assert min(cases.values()) >= 1000
    assert all(len(set(drawn)) == len(drawn) >= 20 and min(drawn) == 50 for drawn in seeds.values())


def test_our_own_are_judged_loss_by_loss_and_so_is_what_is_asked_for():
    asked = [own.losses for own, *_ in hunts(Settings(target="numpy", framework="numpy"), 1000, 20)]
    assert asked == [(loss,) for loss in losses()]
    some = Settings(target="a.py:f", framework="numpy", losses=("circle_loss", "oim_loss"))
    assert [(own.losses, *counts) for own, *counts in hunts(some, 9, 2)] == [
        (("circle_loss",), 9, 2),
        (("oim_loss",), 9, 2),
    ]


def test_any_other_target_is_judged_as_it_is():
    settings = Settings(target="a.py:f", framework="numpy")
    assert list(hunts(settings, 1000, 20)) == [(settings, 1000, 20)]


RIGHT = """
from lossproof.reference import contrastive_loss as reference

def contrastive_loss(x1, x2, dissimilar, *, margin=1.0, reduction="mean", cotangent=None):
    found = reference(x1, x2, dissimilar, margin=margin, reduction=reduction, cotangent=cotangent)
    return found if cotangent is None else (found[0], {name: g.astype(x1.dtype) for name, g in found[1].items()})
"""


def hunted(tmp_path, code, fills=None):
    """Return what one seed finds in a function that is written to a file."""
    path = tmp_path / "own.py"
    path.write_text(code, encoding="utf-8")
    target = f"{path}:contrastive_loss"
    settings = Settings(target=target, framework="numpy", losses=("contrastive_loss",), seed=3)
    return hunt(settings, 1, 1, lambda _: None, fills)


def test_a_hunt_counts_what_it_asked(tmp_path):
    found = hunted(tmp_path, RIGHT)
    assert not found.findings
    assert found.cases > 500
    assert found.seeds == 1
    assert found.summary().startswith(f"0 alarms in {found.cases} cases over 1 seeds")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--loss", "contrastive"], "'contrastive' is no loss of the spec; there are"),
        (["--loss", "update_centers"], "'update_centers' is a function that is no loss; there are"),
        (["--loss", "contrastive_loss", "--spread"], "numpy answers none of the cases that are asked"),
    ],
)
def test_nothing_to_hunt_for_ends_with_one_line(asked, message):
    run = CliRunner().invoke(main, ["numpy", *asked, "--cases", "1", "--seeds", "1"])
    assert run.exit_code == 2
    assert message in run.output


def test_a_structure_is_filled_as_often_as_one_asks(tmp_path):
    assert 2 * hunted(tmp_path, RIGHT, fills=1).cases < hunted(tmp_path, RIGHT, fills=12).cases


def test_a_bug_is_an_alarm_with_its_seed_and_its_case(tmp_path):
    found = hunted(tmp_path, RIGHT.replace("margin=margin", "margin=margin + (reduction == 'sum')"))
    assert any(finding.startswith("seed 3: contrastive_loss/reductions/CV-2") for finding in found.findings)
    assert " alarms in " in found.summary()
    assert not found.summary().startswith("0 ")
