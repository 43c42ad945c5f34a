"""The measurement of what comes first: which mutants it takes, what it counts as right, and what it says."""

import json

import pytest

from audit import naming
from audit.kills import mutants

QUICK = "ve-same-accuracy"  # of a function that takes no time to judge
MISSED = "ve-strict"


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["naming", *arguments])
    code = naming.main()
    return code, capsys.readouterr().out


def test_each_half_has_about_half_of_the_mutants():
    held_out = sum(naming.half(key) == "held out" for key in mutants())
    assert 0.45 < held_out / len(mutants()) < 0.55


def test_the_half_of_a_mutant_never_changes():
    assert (naming.half("sh-not-strict"), naming.half("swap-by-maximum")) == ("development", "held out")


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another():
    one, again, other = (naming.chosen(None, None, 20, seed) for seed in (0, 0, 1))
    assert one == again != other
    assert len({m.id for m in one}) == 20


def test_a_loss_and_a_half_can_be_asked_for():
    found = naming.chosen("center_loss", "held out", None, 0)
    assert {m.loss for m in found} == {"center_loss"}
    assert {naming.half(m.id) for m in found} == {"held out"}


def test_a_mutant_whose_clause_heads_the_first_entry_is_right():
    (named,) = naming.judged([mutants()[QUICK]], 1, None)
    assert named.right
    assert named.within


def test_a_mutant_whose_clause_heads_another_entry_is_not():
    (named,) = naming.judged([mutants()[MISSED]], 1, None)
    assert not named.right
    assert str(named).endswith("VE-2 expected, VE-1 came first")


def test_what_is_in_the_cache_is_not_judged_again(tmp_path, monkeypatch):
    cache = tmp_path / "cache.json"
    (first,) = naming.judged([mutants()[QUICK]], 1, cache)
    assert list(json.loads(cache.read_text(encoding="utf-8"))) == [f"{QUICK} 1"]
    monkeypatch.setattr(naming, "results", None)
    (again,) = naming.judged([mutants()[QUICK]], 1, cache)
    assert [e.finding.id for e in again.entries] == [e.finding.id for e in first.entries]


@pytest.mark.parametrize(("key", "code"), [(QUICK, 0), (MISSED, 1)])
def test_the_exit_status_says_whether_enough_are_right(key, code, monkeypatch, capsys):
    monkeypatch.setattr(naming, "mutants", lambda: {key: mutants()[key]})
    status, said = run(monkeypatch, capsys)
    assert status == code
    assert ("VE-2 expected" in said) == bool(code)
    assert f"{1 - code} of 1 headed" in said
