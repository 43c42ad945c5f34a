"""The file of known failures that a run writes: refused until each reason is filled in, and nothing in it is lost."""

import tomllib

import numpy as np
import pytest
from certificates import HELLO, LOSS, finding, result

from lossproof.conformance.host.reproduce import line
from lossproof.conformance.judge.results import Mismatch
from lossproof.conformance.report.known_failures import KnownFailuresError, load
from lossproof.conformance.report.known_failures_writing import there, write

NAN = Mismatch("value", "loss", np.nan, 0.0, 1e-15, np.inf)
WRONG = (
    result("CV-28", "nonconformant", finding("CV-28", Mismatch("accepted", "the call", 0.5, "an error"), "margin -1")),
    result("CV-5", "nonconformant", finding("CV-5", NAN)),
)
BY_HAND = f"""# Looked at by hand.

# Two lines
# about the first.
[[failure]]
loss = "{LOSS}"
finding = "CV-5"
reason = "A mean of nothing is NaN."   # as numpy has it
link = "https://example.org"

# About all that follow.

[[failure]]
loss = "{LOSS}"
finding = "TM-4"
reason = "Not asked in this run."
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "known.toml"


def written(path, *results):
    return write(path, "tool.py:tool", HELLO, results)


def filled(path):
    path.write_text(path.read_text(encoding="utf-8").replace('reason = ""', 'reason = "known"'), encoding="utf-8")
    return load(path)


def test_a_file_is_refused_in_one_line_that_names_it_and_the_entry_until_the_reason_is_there(path):
    written(path, *WRONG)
    with pytest.raises(KnownFailuresError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: entry 'CV-5' of {LOSS} has no reason: fill it in"
    path.write_text(path.read_text(encoding="utf-8").replace('reason = ""', 'reason = " "'), encoding="utf-8")
    with pytest.raises(KnownFailuresError, match="has no reason"):
        load(path)


def test_every_finding_is_an_entry_with_the_line_that_shows_it_mathematics_first(path):
    assert str(written(path, *WRONG)) == "2 entries, 2 new; 2 without a reason, and refused until it is filled in"
    entries = filled(path)
    assert [(entry["loss"], entry["finding"]) for entry in entries] == [(LOSS, "CV-5"), (LOSS, "CV-28/margin -1")]
    assert all(entry["reproduce"].startswith("python -c 'import numpy") for entry in entries)


def test_the_other_findings_of_one_cause_are_entries_of_their_own(path):
    both = [finding("CV-28", Mismatch("accepted", "the call", 0.5, "an error"), label) for label in ("p 0", "p nan")]
    written(path, result("CV-28", "nonconformant", *both))
    assert [entry["finding"] for entry in filled(path)] == ["CV-28/p 0", "CV-28/p nan"]


def test_a_reason_stays_and_so_does_every_word_of_its_entry(path):
    path.write_text(BY_HAND, encoding="utf-8")
    assert str(written(path, *WRONG)).startswith("3 entries, 1 new; 1 without a reason")
    assert path.read_text(encoding="utf-8").startswith(BY_HAND)
    assert [entry["finding"] for entry in filled(path)] == ["CV-5", "TM-4", "CV-28/margin -1"]


def test_an_entry_that_does_not_fail_any_more_goes_and_what_stands_below_it_stays(path):
    path.write_text(BY_HAND, encoding="utf-8")
    assert str(written(path, result("CV-5", "conformant"))) == "1 entry, gone CV-5"
    text = path.read_text(encoding="utf-8")
    assert text == "# Looked at by hand.\n\n# About all that follow.\n\n" + BY_HAND.partition("follow.\n\n")[2]


def test_a_file_that_says_it_all_is_not_touched(path):
    path.write_text(BY_HAND.rstrip("\n"), encoding="utf-8")
    assert str(written(path, WRONG[1])) == "2 entries"
    assert path.read_text(encoding="utf-8") == BY_HAND.rstrip("\n")


def test_nothing_found_is_no_file(path):
    assert str(written(path, result("CV-5", "conformant"))) == "0 entries"
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["it's", '"', "'''", "a\"b''", "tab\tand\nline", "\x7f\x00\x1b[31m", "\U0001f600 é", "\\", "ends with \"'"]
)
def test_whatever_an_implementation_says_is_read_again(path, text):
    raised = Mismatch("raised", "the call", f"raised ValueError: {text}", "a loss", errored=True)
    command = {**HELLO, "origin": {}}  # the line that shows it holds the name of the target
    write(path, f"port {text}", command, [result("TM-1", "errored", finding("TM-1", raised, text))])
    (entry,) = tomllib.loads(path.read_text(encoding="utf-8"))["failure"]
    assert entry["finding"] == f"TM-1/{text}"
    assert entry["reproduce"] == line(f"port {text}", command, finding("TM-1").case)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[failure]", "cannot read"),
        ("failure = 3", "only tables"),
        (f'failure = [{{loss = "{LOSS}", finding = "CV-5", reason = "x"}}]', "must begin with a line"),
    ],
)
def test_a_file_that_cannot_be_brought_up_to_date_is_left_as_it_is(path, text, words):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KnownFailuresError, match=words):
        there(path)
    with pytest.raises(KnownFailuresError, match=words):
        written(path, *WRONG)
    assert path.read_text(encoding="utf-8") == text


def test_a_place_where_no_file_can_be_is_named_before_anything_is_done(path):
    path.write_text("", encoding="utf-8")
    with pytest.raises(KnownFailuresError, match=r"cannot write .*known.toml is no folder"):
        there(path / "inside.toml")


def test_what_is_written_half_is_not_there(path, monkeypatch):
    path.write_text(BY_HAND, encoding="utf-8")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        written(path, *WRONG)
    assert [p.name for p in path.parent.iterdir()] == ["known.toml"]
    assert path.read_text(encoding="utf-8") == BY_HAND


def test_the_line_that_shows_it_says_where_a_file_is_from_here(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hello = {**HELLO, "origin": {LOSS: [str(tmp_path / "tool.py"), "tool"]}}
    write(path, "tool.py:tool", hello, [WRONG[1]])
    (entry,) = filled(path)
    assert 'run_path("tool.py")' in entry["reproduce"]


def test_a_function_that_is_no_loss_may_have_known_failures(path):
    path.write_text('[[failure]]\nloss = "triplet_masks"\nfinding = "CV-26"\nreason = "x"\n', encoding="utf-8")
    assert load(path)[0]["loss"] == "triplet_masks"
