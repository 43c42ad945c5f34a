"""The terminal: it fits its width, mathematics comes first, and what is said is plain text."""

import io
import re

import numpy as np
import pytest
from certificates import HELLO, LOSS, RIGHT, WRONG, certificate, finding, result
from rich.console import Console

from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.report import report, summary, terminal
from lossproof.conformance.report.certificate import tolerance
from lossproof.spec import clauses, losses


def shown(found, width=80, color=False):
    """Return what the terminal shows of a certificate."""
    console = Console(width=width, file=io.StringIO(), force_terminal=color, color_system="standard" if color else None)
    terminal.show_findings(found, console)
    terminal.show_verdict(found, console)
    return console.file.getvalue()


def text(found, width=80):
    return " ".join(shown(found, width).split())


LONG = certificate(*WRONG, target="package.of_a_very_long_name.with_modules.in_it.and_more:a_function_of_a_long_name")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("found", [LONG, certificate(*RIGHT)], ids=["wrong", "right"])
def test_every_line_but_those_to_paste_fits(found, width):
    lines = [line.rstrip() for line in shown(found, width).splitlines() if "python -c" not in line]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("found", [LONG, certificate(*RIGHT)], ids=["wrong", "right"])
def test_no_line_ends_with_a_blank(found):
    assert [line for line in shown(found).splitlines() if line != line.rstrip()] == []


def test_the_page_to_open_is_one_line_at_any_width():
    console, page = Console(width=60, file=io.StringIO()), f"certificates/{'long-' * 20}name/certificate.html"
    terminal.show_verdict(certificate(*RIGHT), console, page)
    assert f"  {page}" in console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_word_is_broken(width):
    words = set(shown(certificate(*WRONG), width).split())
    assert {"nonconformant", "argument", "triplet_margin_loss:"} <= words


def test_one_sentence_says_what_failed_by_class_and_what_comes_first():
    want = (
        f"nonconformant for {LOSS}: value 1 finding, gradient 1, argument checks 1; "
        "first TM-1, a triplet's loss is max(0, m + d(a, p) - d(a, n))."
    )
    got = summary.sentence(certificate(*WRONG))
    assert (got.split("; first")[0], "; first TM-1, " in got) == (want.split("; first")[0], True)


def test_a_class_without_findings_is_none_and_one_without_probes_not_judged():
    got = summary.sentence(certificate(WRONG[1], RIGHT[2]))
    assert "value 1 finding, gradient not judged, argument checks none" in got


def test_a_right_one_says_how_many_probes_passed():
    assert "value 1 of 1 probes passed, gradient 1 of 1" in summary.sentence(certificate(*RIGHT))


def test_mathematics_comes_first_and_argument_checks_under_their_own_heading():
    got = shown(certificate(*WRONG))
    places = [
        got.index(words) for words in ("Value (1)", "TM-1:", "Gradient (1)", "CV-16:", "Argument checks", "CV-28:")
    ]
    assert places == sorted(places)


def test_argument_checks_have_another_colour_than_wrong_mathematics():
    got = shown(certificate(*WRONG), color=True)
    colours = {name: re.search(rf"\x1b\[([\d;]+)m{name}", got)[1] for name in ("TM-1", "CV-16", "CV-28")}
    assert colours["TM-1"] == colours["CV-16"] != colours["CV-28"]


def test_advice_is_one_line_after_the_sentence():
    two = [
        result("CV-19", "conformant", loss=loss, advice=[finding("CV-19", loss=loss)]) for loss in list(losses())[:2]
    ]
    got = shown(certificate(*two), 120)
    assert [line.strip() for line in got.splitlines() if "CV-19" in line] == [
        "advice: CV-19, no finite input gives NaN (2 losses)"
    ]
    assert "python -c" not in got


def test_no_formula_of_any_finding_is_source():
    wrong = [Mismatch("value", "loss", 2.0 + i, 1.0, 1e-15, 10.0) for i in range(len(clauses()))]  # a cause each
    found = [finding(clause, mismatch) for clause, mismatch in zip(clauses(), wrong, strict=True)]
    got = shown(certificate(*(result(one.clause, "nonconformant", one) for one in found)), 100)
    before = [line for line in got.splitlines() if "python -c" not in line]
    assert [line for line in before if "$" in line or "\\" in line] == []
    assert sum(bool(re.match(r"  [A-Z]+-\d+: ", line)) for line in before) == len(clauses())


def test_a_clause_is_quoted_once():
    twice = [result("CV-28", "nonconformant", finding("CV-28", label=label)) for label in ("margin -1", "p 0")]
    assert text(certificate(*twice)).count("NaN is outside every range") == 1


# What is compared


@pytest.mark.parametrize(
    ("got", "want", "budget", "words"),
    [
        (2.0, 1.0, 1.234567e-15, "within 1.23e-15"),
        (2.0, 1.0, 0.0, "bit for bit"),
        ([2.0], [1.0], 0.0, "bit for bit"),
        (2.0, 0.0, 2.2250738585072014e-308, "bit for bit, or within 2.23e-308"),
        (float("nan"), 0.0, 2.2250738585072014e-308, ""),
        (2.0, float("nan"), 0.0, ""),
        (2.0, "an error", 0.0, ""),
        (2.0, "between 0 and 1", 1e-6, "within 1e-06"),
        ((2,), (3,), 0.0, ""),
    ],
)
def test_a_tolerance_has_three_digits_or_is_exact(got, want, budget, words):
    assert tolerance(Mismatch("value", "loss", got, want, budget, np.inf)) == words


def test_an_error_is_said_without_got():
    raised = Mismatch("raised", "the call", "raised ValueError: no", "a loss", 0.0, np.inf, errored=True)
    assert "the call: raised ValueError: no, want a loss" in text(
        certificate(result("TM-3", "errored", finding("TM-3", raised)))
    )


def test_a_target_that_is_a_command_shows_its_inputs_beside_the_line():
    command = certificate(*WRONG[1:2], hello={**HELLO, "origin": {}}, target="node port.mjs")
    assert "anchor = [[0.0, 0.0]]" in text(command)
    assert "anchor = [[0.0, 0.0]]" not in text(certificate(*WRONG[1:2]))


# Kinks, causes and options


def test_another_legal_choice_is_shown_with_what_was_chosen():
    chosen = result("TM-6", "another legal choice", choice="gradient of anchor[0, 0] is 1; the spec chooses 0")
    got = certificate(RIGHT[0], chosen)
    assert got["verdict"] == "conformant"
    assert "another legal choice at TM-6: gradient of anchor[0, 0] is 1; the spec chooses 0" in text(got)


def entry(**more):
    found = certificate(WRONG[1])
    found["findings"][0].update(more)
    return found


def test_one_cause_says_how_many_probes_it_stopped():
    got = text(entry(verdict="errored", probes=28, also=["TM-2", "CV-1"]))
    assert "errored TM-1" in got
    assert "28 probes stopped; also under TM-2, CV-1" in got


def test_the_shape_of_rows_is_said_where_they_are_no_plain_batch():
    several, one, batch = [[[0.5], ["nan"]], [[1.0], [2.0]]], [0.5, 1.0], [[0.5, 1.0]]
    assert "anchor of shape (2, 2, 1)" in text(entry(inputs={"anchor": several}))
    assert "anchor of shape (2,)" in text(entry(inputs={"anchor": one}))
    assert "of shape" not in text(entry(inputs={"anchor": batch}))
    assert "of shape" not in text(entry(inputs={"labels": [0, 1]}))


def test_options_assumed_are_named_with_the_line_that_declares_them():
    got = text(entry(assumed={"eps": 1e-6}, declare="declare --fixed eps=0"))
    assert "assumed: eps = 1e-06; declare --fixed eps=0" in got


def test_what_was_declared_stands_beside_the_verdict_and_bounds_its_dtypes():
    said = {"fixed": {"distance": "squared_euclidean"}, "limits": {"dtype": ["float64"], "p": [1.0, 2.0]}}
    found = certificate(*RIGHT, hello=HELLO | {"dtypes": ["float64", "float16"], "losses": {LOSS: said}})
    assert "declared: dtype = float64, p = 1 or 2, distance = squared_euclidean" in text(found, 120)
    assert found["dtypes"] == ["float64"]
    assert "<dt>declared</dt><dd>dtype = float64" in report.page(found)


def test_probes_that_wait_for_a_right_value_are_not_called_unsupported():
    waits = Result(Probe(LOSS, "gradient", "CV-16"), "unsupported", planned=3, run=3, obscured=3)
    got = text(certificate(*WRONG[:2], waits, result("TM-3", "unsupported")), 120)
    assert "1 probes unsupported; 1 wait until what is found above is right" in got


def test_the_table_of_the_page_counts_them_apart_as_well():
    waits = Result(Probe(LOSS, "gradient", "CV-16"), "unsupported", planned=3, run=3, obscured=3)
    rows = summary.table(certificate(*WRONG[:2], waits, result("TM-1", "unsupported")))
    assert (rows["unsupported"], rows[summary.WAITING]) == (
        {"value": 1, "gradient": 0, "interface": 0},
        {"value": 0, "gradient": 1, "interface": 0},
    )
    assert summary.WAITING not in summary.table(certificate(*RIGHT))


def test_what_is_declared_of_one_loss_of_several_names_it():
    hello = HELLO | {"losses": {LOSS: {"fixed": {"eps": 0.0}}, "circle_loss": {}}}
    found = certificate(*RIGHT, result("CI-1", "conformant", loss="circle_loss"), hello=hello)
    assert f"declared: {LOSS}: eps = 0" in text(found, 120)


def test_what_is_declared_of_all_that_was_judged_names_none():
    hello = HELLO | {"losses": {LOSS: {"fixed": {"eps": 0.0}}, "circle_loss": {"fixed": {"eps": 0.0}}}}
    assert "declared: eps = 0" in text(certificate(*RIGHT, hello=hello), 120)


def test_a_verdict_says_how_much_it_forgives():
    got = text(certificate(result("TM-1", "known-failing", *WRONG[1].findings), RIGHT[1]))
    assert f"conformant for {LOSS} but for 1 known failure: value 0 of 1 probes passed" in got


def test_a_declared_finding_is_one_line():
    got = shown(certificate(result("TM-1", "known-failing", *WRONG[1].findings), RIGHT[1]))
    assert len([line for line in got.splitlines() if "TM-1" in line]) == 1
    assert "python -c" not in got
