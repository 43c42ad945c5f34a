"""The pages of a report: where they lead, that they need nothing from elsewhere, and that no file is half written."""

import html
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from certificates import RIGHT, WRONG, certificate, finding, result

from lossproof.conformance import run
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.report import markup, report
from lossproof.conformance.report.files import atomic
from lossproof.conformance.report.summary import sentence
from lossproof.conformance.settings import Settings
from lossproof.spec import clauses, page, page_names

ADVICE = result("CV-19", "conformant", advice=[finding("CV-19")])
CHOICE = result("TM-6", "another legal choice", choice="gradient of anchor[0, 0] is 1; the spec chooses 0")
FOUND = certificate(*WRONG, ADVICE, CHOICE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a report of two runs, with something else beside them."""
    path = tmp_path_factory.mktemp("report")
    report.write(FOUND, path / "tool")
    report.write(certificate(*RIGHT, target="right.py:loss", checks=("gradient",)), path / "right--check-gradient")
    (path / "other").mkdir()
    (path / "other" / "certificate.json").write_text("{", encoding="utf-8")
    return path


def links(path):
    return re.findall(r'href="([^"#]*)(?:#([^"]*))?"', path.read_text(encoding="utf-8"))


def pages(folder):
    return sorted(folder.glob("**/*.html"))


def test_every_link_of_every_page_leads_to_a_file_and_an_anchor(folder):
    # junit.xml is pytest's
    for path in pages(folder):
        for target, anchor in links(path):
            there = (path.parent / target).resolve() if target else path
            assert there.is_file() or target == "junit.xml", (path, target)
            assert not anchor or f'id="{anchor}"' in there.read_text(encoding="utf-8"), (path, target, anchor)


def test_every_clause_of_a_certificate_is_linked(folder):
    found = {anchor for _, anchor in links(folder / "tool" / "certificate.html")}
    assert {probe["clause"] for probe in FOUND["probes"]} == found - {""}


def test_every_clause_of_the_spec_has_its_anchor(folder):
    for name in page_names():
        text = (folder / "_spec" / f"{name}.html").read_text(encoding="utf-8")
        assert [clause for clause in page(name).clauses if f'id="{clause}"' not in text] == []


def test_no_formula_is_left_as_source_on_any_page(folder):
    for path in pages(folder):
        text = re.sub(r"<(code|pre)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert [sign for sign in ("$", "\\") if sign in text] == [], path


def test_no_page_needs_anything_from_elsewhere(folder):
    for path in pages(folder):
        assert re.findall(r"<script|src=|@import|url\(|https?:", path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize("words", ['name="viewport"', "prefers-color-scheme: dark", 'class="wide"'])
def test_a_page_is_made_for_phones_and_for_the_dark(folder, words):
    assert words in (folder / "tool" / "certificate.html").read_text(encoding="utf-8")


def test_a_page_shows_findings_by_class_mathematics_first():
    text = report.page(FOUND)
    places = [
        text.index(words) for words in ("Value (1)", "Gradient (1)", "Argument checks: ", "Another legal choice</h2>")
    ]
    assert places == sorted(places)


def test_a_page_shows_a_choice_at_a_kink_and_folds_advice():
    text = html.unescape(report.page(FOUND))
    assert "gradient of anchor[0, 0] is 1; the spec chooses 0" in text
    assert "<details><summary>CV-19, no finite input gives NaN</summary>" in text


def test_a_page_shows_the_options_that_were_assumed():
    found = certificate(WRONG[1])
    found["findings"][0].update(assumed={"eps": 1e-6}, declare="declare --fixed eps=0")
    assert "assumed: eps = 1e-06; declare --fixed eps=0" in report.page(found)


def test_our_own_backends_have_the_version_of_the_project():
    assert certificate(*RIGHT, ours=True)["implementation"]["version"] == version("lossproof")


def test_the_title_of_a_page_says_partial():
    title = re.search(r"<title>(.*?)</title>", report.page(certificate(*RIGHT, checks=("gradient",))))[1]
    assert title == "tool: partial: conformant for triplet_margin_loss, check gradient alone"


# The index


def test_the_index_lists_every_certificate_with_its_verdict_and_its_link(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert [target for target, _ in links(folder / "index.html") if "certificate" in target] == [
        "tool/certificate.html",
        "right--check-gradient/certificate.html",
    ]
    assert ("nonconformant" in text, "partial: conformant for triplet_margin_loss" in text) == (True, True)


def test_the_index_is_made_anew_by_each_run(tmp_path):
    report.write(FOUND, tmp_path / "tool")
    report.write(certificate(*RIGHT), tmp_path / "tool")
    assert "nonconformant" not in (tmp_path / "index.html").read_text(encoding="utf-8").split("</style>")[1]


# Markup


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("`a_b` of $x_i$", '<code>a_b</code> of <span class="formula">x<sub>i</sub></span>'),
        ("<b>$a < b$</b>", '&lt;b&gt;<span class="formula">a &lt; b</span>&lt;/b&gt;'),
        ("`$x$`", "<code>$x$</code>"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("\ue0007\ue001", "7"),
    ],
)
def test_one_line_of_markdown(text, want):
    assert markup.inline(text) == want


@pytest.mark.parametrize("clause", ["XX-1", "CV-1"])
def test_a_clause_that_no_page_has_is_linked_to_the_list(clause):
    assert markup.link(clause) == ("../_spec/conventions.html#CV-1" if clause in clauses() else "../_spec/index.html")


# Files


def test_a_file_that_can_not_be_written_whole_stays_as_it_was(tmp_path):
    atomic(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        atomic(tmp_path / "a.txt", "new" * 100_000 + "\ud800")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_nothing_is_written_where_the_page_can_not_be_made(tmp_path, monkeypatch):
    report.write(FOUND, tmp_path / "tool")
    monkeypatch.setattr(report, "page", lambda certificate: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.write(certificate(*RIGHT), tmp_path / "tool")
    assert (
        json.loads((tmp_path / "tool" / "certificate.json").read_text(encoding="utf-8"))["verdict"] == "nonconformant"
    )


def test_a_crash_of_the_judge_leaves_no_certificate_that_looks_complete(tmp_path, monkeypatch):
    settings = Settings("numpy", "numpy", checks=("examples",), losses=("center_loss",), report=tmp_path, jobs=1)
    path = tmp_path / settings.slug
    report.write(certificate(*RIGHT), path)  # of an earlier run
    (path / "junit.xml").write_text("<testsuites/>", encoding="utf-8")
    (path / "probes.jsonl").write_text("{}\n", encoding="utf-8")

    def crash(*given):
        raise MemoryError

    monkeypatch.setattr(run, "_pytest", crash)
    with pytest.raises(MemoryError):
        run.certify(settings)
    left = json.loads((path / "certificate.json").read_text(encoding="utf-8"))
    assert (left["verdict"], left["complete"]) == ("not run", False)
    assert "the plan was not completed" in (path / "certificate.html").read_text(encoding="utf-8")
    assert (Path(path / "junit.xml").exists(), (path / "probes.jsonl").read_text(encoding="utf-8")) == (False, "")


def test_a_fault_of_the_judge_within_a_probe_is_said_in_the_closing_sentence(tmp_path, monkeypatch):
    settings = Settings("numpy", "numpy", checks=("examples",), losses=("center_loss",), report=tmp_path, jobs=1)
    right = CHECKS["examples"]

    def at_fault(judge, probe, result):
        if probe.clause == "CN-1":
            raise MemoryError
        right(judge, probe, result)

    monkeypatch.setitem(CHECKS, "examples", at_fault)
    said = sentence(run.certify(settings))
    assert said == (
        "not run: the plan was not completed; the judge itself failed in 1 probe, and junit.xml has the traceback"
    )
    assert "MemoryError" in (tmp_path / settings.slug / "junit.xml").read_text(encoding="utf-8")
