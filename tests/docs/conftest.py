"""A browser for the tests that look at the site."""

import shutil

import pytest
from site_pages import PATIENCE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser was found; expected one of {', '.join(BROWSERS)}, as Debian's package chromium has it")
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=PATIENCE)
        yield started
        started.close()
