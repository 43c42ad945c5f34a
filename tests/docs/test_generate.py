"""What the pages of the site are made with: links, measurements, figures."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("yaml")

from audit.peers import written
from docs.generate import one_name
from docs.generate.drawing import batches, given
from docs.generate.figures import figure
from docs.generate.guides import of_readme
from docs.generate.links import linked
from docs.generate.peer_pages import numbers, opened
from docs.generate.peers import HOME, MeasuredError, measured, peers
from docs.generate.places import README, homes
from docs.generate.signature import signature
from docs.generate.under import checks
from lossproof.spec import clauses, losses, page, spec_version

ROOT = Path(__file__).parents[2]
EXAMPLES = [example for clause in clauses().values() for example in clause.examples]


# links


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see CV-8.", "see [CV-8](#cv-8)."),
        ("`CV-8` and $CV-8$ stay", "`CV-8` and $CV-8$ stay"),
        ("[CV-15](../spec/conventions.md)", "[CV-15](#cv-15)"),
        ("[masks](../spec/conventions.md#masks)", f"[masks](/spec/{spec_version()}/conventions.md#masks)"),
        ("[`a`](../README.md)", "[`a`](/guides/start.md)"),
        ("[x](../README.md#in-your-own-ci)", "[x](/guides/ci.md#in-your-own-ci)"),
        ("[x](https://example.org/CV-8)", "[x](https://example.org/CV-8)"),
        ("XX-99 is none", "XX-99 is none"),
        ("### CV-8 · a heading", "### CV-8 · a heading"),
        ("```\nCV-8\n```", "```\nCV-8\n```"),
    ],
)
def test_text_of_the_repository_is_linked(text, expected):
    assert linked(text, "docs/port.md") == expected


def test_a_file_without_a_page_is_copied(tmp_path):
    files = tmp_path / "_files"
    assert linked("[p](../examples/one_name.py)", "docs/port.md", files) == "[p](/_files/examples/one_name.py)"
    assert (files / "examples" / "one_name.py").read_bytes() == (ROOT / "examples" / "one_name.py").read_bytes()


def test_a_link_that_leads_nowhere_is_refused():
    with pytest.raises(ValueError, match=r"docs/port.md: the link 'gone.md' leads to no file"):
        linked("[x](gone.md)", "docs/port.md")


def test_every_page_of_the_docs_has_a_page_of_the_site():
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= homes().keys()


@pytest.mark.parametrize("name", README)
def test_a_guide_has_its_sections_of_readme(name, tmp_path):
    assert len(of_readme(name, tmp_path)) > 500


# measurements

ROW = json.loads((HOME / "measured" / "optax.json").read_text(encoding="utf-8"))[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"versions": {"spec": "2.0"}}, "was measured by version 2.0 of the spec; expected"),
        ({"format": 2}, "1 was expected"),
        ({"classes": {}}, "'value' is a required property"),
    ],
)
def test_measurements_of_another_version_are_refused_by_name(tmp_path, change, words):
    path = tmp_path / "strange.json"
    path.write_text(json.dumps([{**ROW, **change}]), encoding="utf-8")
    with pytest.raises(MeasuredError, match=f"strange.json.*{words}"):
        measured(path)


def test_every_measurement_and_every_known_failure_has_a_page():
    names = {(path.parent.name, path.stem) for path in (HOME / "known").glob("*/*.toml")}
    names |= {(path.stem, row["peer"]) for path in (HOME / "measured").glob("*.json") for row in measured(path)}
    assert {(peer.library, peer.key) for peer in peers()} == names


CASE = {  # as one run of the judge found it, and another need not
    "want": 3.0,
    "inputs": {"anchor": [[0.0]], "positive": [[4.0]], "negative": [[-2.0]]},
    "parameters": {"margin": 1.0, "p": 3.0, "eps": 0.0},
}


def test_the_smallest_case_of_a_finding_stands_on_its_page_and_opens_in_the_figure():
    peer = next(peer for peer in peers() if (peer.library, peer.key) == ("optax", "triplet_margin"))
    measured_one = next(finding for finding in peer.findings if finding.id == "DI-1")
    assert numbers(measured_one).startswith("got `nan`, want `")
    assert opened(measured_one).startswith(f"../../spec/{spec_version()}/triplet_margin.html#figure=v1;anchor=")
    row = {**peer.row, "cases": [{**measured_one.case, **CASE}]}
    finding = replace(measured_one, peer=replace(peer, row=row))
    assert numbers(finding).startswith("got `nan`, want `3.0`, to within `")
    rows = "anchor=0.0;positive=4.0;negative=-2.0"
    figure = f"../../spec/{spec_version()}/triplet_margin.html#figure=v1;{rows};margin=1.0;p=3.0;eps=0.0"
    assert opened(finding) == figure
    assert opened(replace(finding, id="CV-24/rows broadcast")) == ""  # rows of other numbers have no place in it


def test_a_case_is_written_in_a_line_and_read_as_it_was():
    rows = [{"peer": "a", "cases": [{"got": "@7"}, {"got": [0.5]}]}, {"peer": "b"}]
    text = written(rows)
    assert json.loads(text) == rows
    assert '{"got": [0.5]}' in text


def test_no_two_findings_share_an_anchor():
    anchors = [finding.anchor for peer in peers() for finding in peer.findings]
    assert len(anchors) > 600
    assert len(set(anchors)) == len(anchors)


def test_the_trace_says_of_every_clause_who_asks():
    assert checks().keys() == clauses().keys()


@pytest.mark.parametrize("key", one_name.SCRIPTS)
def test_every_number_of_a_library_is_that_of_a_formula(key):
    assert "No formula here" not in one_name.page(key)


def test_a_folder_with_other_files_is_not_emptied(tmp_path):
    pytest.importorskip("griffe")
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    line = [sys.executable, "-m", "docs.generate", str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected an empty folder" in done.stderr
    assert (tmp_path / "mine.txt").is_file()


# signatures and figures


@pytest.mark.parametrize("loss", losses())
def test_a_signature_names_every_array_and_option(loss):
    own = losses()[loss]
    said = "\n".join(signature(own))
    assert [name for name in (*own.inputs, *own.parameters) if f"| `{name}` |" not in said] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.clause}-{e.index}")
def test_an_example_is_drawn_or_says_why_not(example):
    found = figure(example)
    if "<svg" in found:
        ElementTree.fromstring(re.search(r"<figure>.*</figure>", found, re.DOTALL)[0])
    else:
        assert example.raises or found.startswith("*Not drawn")


def terms(drawing):
    """Return the terms that stand in the titles of a drawing."""
    return [float(re.search(r"= (\S+)$", scene.title)[1].replace("−", "-")) for scene in drawing.scenes]


def hinges(loss, draw):
    """Return the examples of a loss whose value is its terms, without weights and masks, all of which can be drawn."""
    return [
        pytest.param(example, id=f"{example.clause}-{example.index}")
        for example in EXAMPLES
        if (example.loss, example.parameters.get("reduction"), example.raises) == (loss, "none", False)
        and not {"mask", "weights"} & example.inputs.keys()
        and not example.parameters.get("soft_margin")
        and not draw(example).notes
    ]


@pytest.mark.parametrize("example", hinges("triplet_margin_loss", given.triplets))
def test_the_terms_drawn_are_those_of_the_example(example):
    assert terms(given.triplets(example)) == pytest.approx(np.ravel(example.value), rel=1e-4)


@pytest.mark.parametrize("example", hinges("semi_hard_triplet_loss", batches.mined))
def test_the_picks_drawn_are_those_of_the_example(example):
    drawn = sorted(term for term in terms(batches.mined(example)) if term)
    said = sorted(term for term in np.ravel(example.value) if term)
    assert drawn == pytest.approx(said, rel=1e-4)


def test_a_page_without_a_signature_has_no_table():
    assert list(signature(page("conventions"))) == []
