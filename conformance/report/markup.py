"""The text of the spec as HTML: Markdown with formulas, and each page with an anchor at every clause."""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from lossproof.conformance.report.formulas import MATH, formula_html
from lossproof.spec import page, page_names

_KEPT = re.compile("\ue000(\\d+)\ue001")  # stands for a formula while Markdown is read: letters of no language
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_ANCHOR = re.compile(r"([A-Z]+-\d+) ·")


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def block(text: str) -> str:
    """Return Markdown of several paragraphs as HTML; what looks like HTML in it is text."""
    found, marked = _set_aside(text)
    html = _reader().renderer.render(_linked(_reader().parse(marked)), _reader().options, {})
    return _put_back(str(html), found)


def inline(text: str) -> str:
    """Return one line of Markdown as HTML."""
    found, marked = _set_aside(text)
    return _put_back(_reader().renderInline(marked), found)


def spec_page(name: str) -> str:
    """Return the text of a page of the spec as HTML."""
    return block(page(name).text)


@cache
def _homes() -> dict[str, str]:
    return {clause: name for name in page_names() for clause in page(name).clauses}


def link(clause: str) -> str:
    """Return where a clause stands, as seen from the folder of a certificate."""
    home = _homes().get(clause)
    return f"../_spec/{home}.html#{clause}" if home else "../_spec/index.html"


def _set_aside(text: str) -> tuple[list[str], str]:
    """Return the formulas of a text, and the text with a mark at the place of each; code keeps its dollars."""
    found: list[str] = []

    def kept(match: re.Match[str]) -> str:
        found.append(match[1])
        return f"\ue000{len(found) - 1}\ue001"

    text = re.sub("[\ue000\ue001]", "", text)
    pieces, start = "", 0
    for code in _CODE.finditer(text):
        pieces, start = pieces + MATH.sub(kept, text[start : code.start()]) + code[0], code.end()
    return found, pieces + MATH.sub(kept, text[start:])


def _put_back(html: str, found: list[str]) -> str:
    return _KEPT.sub(lambda mark: formula_html(found[int(mark[1])]), html)


def _linked(tokens: list[Token]) -> list[Token]:
    """Give headings of clauses their anchor, and links to other pages of the spec their ending."""
    for place, token in enumerate(tokens):
        clause = _ANCHOR.match(tokens[place + 1].content) if token.type == "heading_open" else None
        if clause:
            token.attrSet("id", clause[1])
        for child in token.children or ():
            target = str(child.attrGet("href") or "")
            if target.removesuffix(".md") in page_names():
                child.attrSet("href", target.removesuffix(".md") + ".html")
    return tokens
