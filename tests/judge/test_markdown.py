"""A certificate as Markdown: the verdict, a table of classes, each finding with its line, and no letter that acts."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from certificates import HELLO, RIGHT, UNCHECKED, WRONG, certificate, finding, result
from markdown_it import MarkdownIt

from lossproof.conformance.judge.results import Mismatch
from lossproof.conformance.report import markdown, summary

READER = MarkdownIt("commonmark", {"html": True}).enable("table")  # as GitHub reads it
VOID = {"br", "hr"}


class Seen(HTMLParser):
    """What a browser sees of a page: its text, and its elements, each of which must be closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        assert not attrs or tag in ("th", "td")
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def seen(found):
    return Seen(READER.render(markdown.text(found)))


def flat(text):
    return " ".join(text.split())


def test_the_verdict_is_the_sentence_of_the_terminal():
    for found in (certificate(*WRONG), certificate(*RIGHT), certificate(*RIGHT, complete=False)):
        assert summary.sentence(found) in flat(seen(found).text)


def test_each_class_is_a_row():
    found = certificate(*UNCHECKED, result("DD-2", "conformant"), result("CV-16", "unsupported", check="gradient"))
    assert list(markdown.rows(found)) == [
        ("value", "2 of 2 probes", 0, 0, 0),
        ("gradient", "not judged", 0, 0, 1),
        ("argument checks", "0 of 1 probes", 1, 0, 0),
        ("over processes", "1 of 1 probes", 0, 0, 0),
    ]
    page = seen(found)
    assert page.elements.count("tr") == 5
    assert "gradient not judged 0 0 1" in flat(page.text)


def test_known_failures_are_counted_for_themselves_and_named():
    found = certificate(result("TM-1", "known-failing", finding("TM-1")))
    assert next(markdown.rows(found)) == ("value", "0 of 1 probes", 0, 1, 0)
    assert "Known to fail: TM-1, " in flat(seen(found).text)
    assert "<details>" not in markdown.text(found)


def test_each_finding_has_its_clause_case_numbers_and_line_in_a_block_of_its_own():
    found = certificate(*WRONG)
    blocks = re.findall(r"<details>.*?</details>", markdown.text(found), re.DOTALL)
    assert len(blocks) == len(found["findings"]) == 3
    for block, entry in zip(blocks, summary.unknown(found), strict=True):
        text = flat(Seen(READER.render(block)).text)
        for part in (entry["finding"], summary.comparison(entry), "anchor = [[0.0, 0.0]]", entry["reproduce"]):
            assert flat(part) in text
    assert [re.search(r"<b>(.*?)</b>", block)[1] for block in blocks] == ["TM-1", "CV-16", "CV-28"]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "</pre></details>", "`*_x_*` | a | [b](c) $x$", "a\n\n# b\n\n- c", "&amp;"]
)
def test_what_an_implementation_says_is_text(text):
    raised = Mismatch("raised", "the call", f"raised ValueError: {text}", "a loss", errored=True)
    hello = {**HELLO, "name": text, "version": text, "origin": {}}
    found = certificate(result("TM-1", "errored", finding("TM-1", raised)), hello=hello, target=f"node {text}")
    plain = certificate(result("TM-1", "errored", finding("TM-1", raised)), hello=HELLO | {"origin": {}}, target="node")
    page = seen(found)
    assert flat(f"raised ValueError: {text}") in flat(page.text)
    assert "script" not in page.elements
    if "\n" not in text:
        assert page.elements == seen(plain).elements


def test_a_summary_stays_bearable():
    wrong = [Mismatch("value", "loss", 2.0 + i, 1.0, 1e-15, np.inf) for i in range(markdown.MOST + 2)]
    found = certificate(*(result("TM-1", "nonconformant", finding("TM-1", one, str(i))) for i, one in enumerate(wrong)))
    text = markdown.text(found)
    assert text.count("<details>") == markdown.MOST
    assert "<p>2 more findings are in the certificate.</p>" in text


def test_advice_choices_stale_entries_and_declared_options_are_said():
    found = certificate(
        result("CV-19", "conformant", advice=[finding("CV-19")]),
        result("TM-6", "another legal choice", choice="the gradient of $d$ is 1"),
        stale=("CV-5",),
    )
    text = flat(seen(found).text)
    for words in ("Advice: CV-19, ", "Another legal choice at TM-6: the gradient of d is 1", "Stale: CV-5 is declared"):
        assert words in text
