"""The site on a telephone, and its tables in a window: whatever is written can be read there."""

from pathlib import Path

import pytest
from test_site import HTML, built

CUT_OFF = Path(__file__).with_name("cut_off.js").read_text(encoding="utf-8")
NARROW = {"width": 390, "height": 844}


@built
@pytest.mark.parametrize("folder", ["guides", "api", "judge", "peers", "spec/latest"])
def test_no_text_is_cut_off(browser, folder):
    page = browser.new_page(viewport=NARROW)
    cut = {}
    for path in sorted((HTML / folder).rglob("*.html")):
        page.goto(path.as_uri())
        cut[str(path.relative_to(HTML))] = page.evaluate(CUT_OFF)
    page.close()
    assert cut
    assert {name: found for name, found in cut.items() if found} == {}


@built
def test_a_table_of_implementations_shows_its_numbers_without_scrolling(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    hidden = {}
    for path in sorted((HTML / "peers").glob("*_loss.html")):
        page.goto(path.as_uri())
        table = page.query_selector(".pst-scrollable-table-container")
        hidden[path.name] = table.evaluate("(box) => box.scrollWidth - box.clientWidth")
    page.close()
    assert hidden
    assert {name: width for name, width in hidden.items() if width > 1} == {}
