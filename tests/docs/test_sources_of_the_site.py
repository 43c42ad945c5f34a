"""The sources of the site, as they are made: each link leads to a label or a page, and no label stands twice."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("griffe")

ROOT = Path(__file__).parents[2]
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
TO_LABEL = re.compile(r"\]\(#([\w-]+)\)")
TO_PAGE = re.compile(r"\]\(/([\w./-]+\.md)(?:#[\w-]+)?\)")
CODE = re.compile(r"^ *(`{3,}|~{3,})(?!\{).*?^ *\1 *$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return the text of every page, code left out, by its path."""
    folder = tmp_path_factory.mktemp("site") / "source"
    subprocess.run([sys.executable, "-m", "docs.generate", str(folder)], cwd=ROOT, check=True)
    pages = [path for path in folder.rglob("*.md") if "_files" not in path.parts]
    return {path.relative_to(folder).as_posix(): CODE.sub("", path.read_text(encoding="utf-8")) for path in pages}


def test_no_label_stands_twice(sources):
    counts = Counter(label for text in sources.values() for label in LABEL.findall(text))
    assert len(counts) > 1000
    assert [label for label, count in counts.items() if count > 1] == []


def test_every_link_to_a_label_has_one(sources):
    labels = {label for text in sources.values() for label in LABEL.findall(text)}
    found = {(name, label) for name, text in sources.items() for label in TO_LABEL.findall(text)}
    assert {(name, label) for name, label in found if label not in labels and not slug(sources[name], label)} == set()


def test_every_link_to_a_page_has_one(sources):
    found = {(name, page) for name, text in sources.items() for page in TO_PAGE.findall(text)}
    assert {(name, page) for name, page in found if page not in sources} == set()


def slug(text, label):
    """Whether a page has a heading of that anchor."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return label in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
