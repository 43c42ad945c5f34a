"""The site as it was built: links, anchors, sizes. `python -m tox run -e docs` builds it and runs these."""

import re
from pathlib import Path

import pytest
from site_pages import broken_links, foreign, pages

from lossproof.spec import page, page_names, spec_version

ROOT = Path(__file__).parents[2]
HTML = ROOT / "docs" / "_build" / "html"
LARGEST = 300_000  # bytes
built = pytest.mark.skipif(not HTML.is_dir(), reason="`python -m tox run -e docs` builds the site")


@pytest.fixture(scope="module")
def site():
    return pages(HTML)


@built
def test_every_internal_link_leads_to_a_page_and_an_anchor(site):
    assert len(site) > 100
    assert broken_links(site) == []


@built
def test_nothing_is_loaded_from_elsewhere(site):
    assert foreign(site) == []
    styles = [path.read_text(encoding="utf-8", errors="replace") for path in HTML.rglob("*.css")]
    assert styles
    assert [found for style in styles for found in re.findall(r"(?:url\(|@import )['\"]?https?:[^)]*", style)] == []


@built
def test_no_page_is_larger_than_300_kb(site):
    assert {path.name: path.stat().st_size for path in site if path.stat().st_size > LARGEST} == {}


@built
@pytest.mark.parametrize("name", page_names())
def test_every_clause_has_its_anchor(site, name):
    anchors = site[HTML / "spec" / spec_version() / f"{name}.html"].anchors
    assert {key.lower() for key in page(name).clauses} - anchors == set()


@built
@pytest.mark.parametrize("version", ["1.0", "latest"])
def test_an_address_of_another_version_leads_on(version):
    text = (HTML / "spec" / version / "conventions.html").read_text(encoding="utf-8")
    assert f"../{spec_version()}/conventions.html" in text


@built
@pytest.mark.parametrize("name", page_names())
def test_a_page_of_a_loss_has_the_place_of_its_figure(site, name):
    anchors = site[HTML / "spec" / spec_version() / f"{name}.html"].anchors
    assert ("figure" in anchors) == ("loss" in page(name).front)


@built
def test_a_page_says_its_text_without_a_script():
    text = (HTML / "spec" / spec_version() / "semi_hard.html").read_text(encoding="utf-8")
    article = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "farther means strictly greater" in article.lower()
    assert article.count("<math") > 20


@pytest.fixture
def two_pages(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#there">b</a><a href="#no">a</a><a href="c.html">c</a>')
    (tmp_path / "b.html").write_text('<p id="there"></p><script src="https://example.org/x.js"></script>')
    return pages(tmp_path)


def test_a_broken_link_is_seen(two_pages):
    assert broken_links(two_pages) == ["a.html: #no", "a.html: c.html"]


def test_what_comes_from_elsewhere_is_seen(two_pages):
    assert foreign(two_pages) == ["https://example.org/x.js"]
