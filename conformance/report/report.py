"""The files of a report: certificate, page and badge of a run, the clauses they point at, the index of the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from lossproof.conformance.report import badge, markup, summary
from lossproof.conformance.report.files import atomic
from lossproof.conformance.report.scope import CLASSES
from lossproof.spec import page_names

SPEC = "_spec"  # a folder that no target is called


def write(certificate: Mapping[str, Any], folder: Path) -> None:
    """Write certificate.json, certificate.html and the badge, and the index of the folder around them."""
    files = {"certificate.html": page(certificate)}
    files |= {"badge.svg": badge.svg(certificate), "badge.json": badge.endpoint(certificate)}
    files["certificate.json"] = json.dumps(certificate, indent=1, allow_nan=False) + "\n"
    for name, text in files.items():  # nothing is written before everything is made
        atomic(folder / name, text)
    for name in page_names():
        atomic(folder.parent / SPEC / f"{name}.html", rendered("spec.html", name=name, text=markup.spec_page(name)))
    atomic(folder.parent / SPEC / "index.html", rendered("spec.html", name="", names=page_names()))
    atomic(folder.parent / "index.html", index(folder.parent))


def page(certificate: Mapping[str, Any]) -> str:
    """Return the certificate as an HTML page; whatever an implementation says of itself is escaped."""
    return rendered("certificate.html", c=certificate, classes=CLASSES, says=summary)


def index(folder: Path) -> str:
    """Return the page that lists the certificates of a folder, the newest first."""
    found = []
    for path in sorted(folder.glob("*/certificate.json")):
        try:
            certificate = json.loads(path.read_text(encoding="utf-8"))
            found.append((certificate["date"], path.parent.name, certificate, summary.sentence(certificate)))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of another format, or no certificate at all
    return rendered("index.html", found=sorted(found, key=lambda entry: entry[:2], reverse=True), says=summary)


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("lossproof.conformance.report", "templates"), autoescape=True)
    environment.filters.update(block=markup.block, inline=markup.inline, clause_link=markup.link)
    return environment


def rendered(template: str, **given: Any) -> str:
    """Return a template filled in; whatever is given is escaped as in HTML."""
    return _environment().get_template(template).render(**given)
