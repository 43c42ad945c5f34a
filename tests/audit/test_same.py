"""Two certificates say the same, or the first lines of what differs."""

import json
import sys

import pytest
from certificates import LOSS, RIGHT, WRONG, certificate, result

from audit import same


def written(folder, found):
    (folder / "numpy").mkdir(parents=True)
    (folder / "numpy" / "certificate.json").write_text(json.dumps(found, default=str))
    return str(folder)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["same", *arguments])
    return same.main()


def test_time_and_date_may_differ(monkeypatch, tmp_path, capsys):
    first, second = certificate(*RIGHT), certificate(*RIGHT) | {"seconds": 9.0, "date": "another"}
    assert run(monkeypatch, written(tmp_path / "a", first), written(tmp_path / "b", second)) == 0
    assert "the same" in capsys.readouterr().out


def test_a_catalogue_that_grew_by_a_loss_that_was_not_asked_is_no_difference(monkeypatch, tmp_path, capsys):
    first = certificate(*RIGHT)
    second = first | {"scope": first["scope"] | {"spec": (*first["scope"]["spec"], "a_new_loss")}}
    assert run(monkeypatch, written(tmp_path / "a", first), written(tmp_path / "b", second)) == 0
    second = first | {"scope": first["scope"] | {"losses": ()}}
    assert run(monkeypatch, str(tmp_path / "a"), written(tmp_path / "c", second)) == 1


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (WRONG, "verdict: 'conformant', then 'nonconformant'"),
        ((*RIGHT, result("TM-9", "conformant")), f"{LOSS}/value/TM-9: is new"),
        (RIGHT[:1], "is gone"),
    ],
)
def test_a_verdict_a_probe_and_a_finding_that_differ_are_named(monkeypatch, tmp_path, capsys, others, words):
    found = run(
        monkeypatch, written(tmp_path / "a", certificate(*RIGHT)), written(tmp_path / "b", certificate(*others))
    )
    assert (found, words in capsys.readouterr().out) == (1, True)


def test_nothing_to_compare_is_status_2(monkeypatch, tmp_path):
    assert run(monkeypatch, str(tmp_path / "none"), written(tmp_path / "b", certificate(*RIGHT))) == 2
