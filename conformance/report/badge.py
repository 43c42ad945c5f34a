"""A certificate as a badge: the version of the spec, and each class of clauses for itself, never one number for all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from lossproof.conformance.judge.results import ERRORED, KNOWN, NONCONFORMANT, NOT_RUN, UNSUPPORTED
from lossproof.conformance.report import scope, summary
from lossproof.spec import clauses

# Each is dark enough for white letters, so that a badge looks alike on a light page and on a dark one.
GREY, GREEN, BLUE, AMBER, RED = "#555555", "#1a7f37", "#0a5fb4", "#8a5a00", "#b3261e"
NAMES = {GREY: "lightgrey", GREEN: "brightgreen", BLUE: "blue", AMBER: "yellow", RED: "red"}  # as the endpoint has them
_NARROW, _WIDE, _PADDING, _HEIGHT = "fijlrt.,:;()' 1", "mwMW", 7, 20


def label(certificate: Mapping[str, Any]) -> str:
    """Return what stands before the classes."""
    return f"lossproof spec {certificate['spec']}" + (", in part" if certificate["scope"]["partial"] else "")


def parts(certificate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is said of each class, mathematics first, and its colour."""
    new, known = summary.unknown(certificate), summary.known(certificate)
    stale = [clauses()[name.split("/")[0]].kind for name in certificate["stale_known_failures"]]
    for kind in scope.CLASSES:
        row, wrong = certificate["counts"][kind], AMBER if kind == "interface" else RED
        found, failed = len(summary.of_class(new, kind)), row[NONCONFORMANT] + row[ERRORED]
        declared = max(len(summary.of_class(known, kind)), bool(row[KNOWN]))
        judged = sum(row.values()) - row[UNSUPPORTED] - row[NOT_RUN]
        if not certificate["complete"] or not judged:
            words, colour = "not judged", GREY
        elif found or failed:
            words, colour = _counted(found, "finding") if found else "stopped by another finding", wrong
        elif kind in stale:
            words, colour = _counted(stale.count(kind), "stale known failure"), wrong
        else:
            words, colour = (_counted(declared, "known failure"), BLUE) if declared else ("passed", GREEN)
        yield f"{summary.LABELS[kind]} {words}", colour


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def endpoint(certificate: Mapping[str, Any]) -> str:
    """Return the badge as JSON for a service that draws it (shields.io, endpoint)."""
    said = list(parts(certificate))
    worst = max((colour for _, colour in said), key=[GREEN, BLUE, GREY, AMBER, RED].index)
    message = " · ".join(words for words, _ in said)
    badge = {"schemaVersion": 1, "label": label(certificate), "message": message, "color": NAMES[worst]}
    return json.dumps(badge, ensure_ascii=False, indent=1) + "\n"


def svg(certificate: Mapping[str, Any]) -> str:
    """Return the badge as an SVG picture."""
    blocks = [(label(certificate), GREY), *parts(certificate)]
    widths = [_width(words) + 2 * _PADDING for words, _ in blocks]
    said = f"{label(certificate)}: {summary.sentence(certificate)}"
    size = {"width": str(sum(widths) + len(widths) - 1), "height": str(_HEIGHT)}
    picture = ElementTree.Element("svg", size | {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
    picture.set("aria-label", said)
    ElementTree.SubElement(picture, "title").text = said
    letters = {"fill": "#ffffff", "font-family": "Verdana, DejaVu Sans, sans-serif", "font-size": "11"}
    left = 0
    for (words, colour), width in zip(blocks, widths, strict=True):
        box = {"x": str(left), "width": str(width), "height": str(_HEIGHT), "fill": colour}
        ElementTree.SubElement(picture, "rect", box)
        place = {"x": str(left + _PADDING), "y": "14", "textLength": str(width - 2 * _PADDING)}
        ElementTree.SubElement(picture, "text", letters | place).text = words
        left += width + 1
    return ElementTree.tostring(picture, encoding="unicode") + "\n"


def _width(words: str) -> int:
    """Return about how many pixels a text takes; the picture then stretches it to exactly these."""
    return round(sum(4 if letter in _NARROW else 10 if letter in _WIDE else 6.8 for letter in words))
