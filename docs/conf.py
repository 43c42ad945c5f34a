"""The site, for Sphinx: `python -m tox run -e docs` makes its sources with `docs.generate`, then calls this."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

project = "Lossproof"
author = "The Lossproof developers"
extensions = ["myst_parser", "sphinx_design", "docs.generate.mathml"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
nitpicky = True
exclude_patterns = ["_files", "_aliases", "_figure"]
suppress_warnings = ["misc.highlighting_failure"]  # messages of the protocol with a word for an array
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = "Lossproof"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_copy_source = False
html_use_index = False  # of nothing: every name has a page of its own
html_show_search_summary = False  # a page from a file may not fetch others
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": False,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "collapse_navigation": True,  # its toggles would have no name that can be read aloud
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def lean(app, pagename, templatename, context, doctree):
    """Leave out the marks around spaces in code, which nothing shows and which are a tenth of a page of the spec."""
    context["body"] = re.sub(r'<span class="w">(\s*)</span>', r"\1", context.get("body", ""))


def with_figure(app, pagename, templatename, context, doctree):
    """Load the interactive figure on the pages that have a place for it."""
    if 'class="live-figure"' in context.get("body", ""):
        app.add_css_file("figure.css")
        app.add_js_file("figure.js", loading_method="defer")


def setup(app):
    """Take the pages that lead on from other addresses as they stand, and the script of the figure."""
    app.config.html_extra_path = [str(app.srcdir / "_aliases")]
    app.config.html_static_path.append(str(app.srcdir / "_figure"))
    app.connect("html-page-context", with_figure)
    app.connect("html-page-context", lean)
