"""A certificate as Markdown, for the summary of a CI job: the verdict, a table of classes, and each finding folded up.

What an implementation says of itself stands in blocks of HTML, escaped, so that none of it is read as Markdown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from lossproof.conformance.judge.results import KNOWN, NOT_RUN, UNSUPPORTED
from lossproof.conformance.report import scope, summary
from lossproof.conformance.report.formulas import paragraphs, plain
from lossproof.conformance.report.report import rendered
from lossproof.spec import clauses

MOST = 60  # findings that are shown in full: a summary has a greatest size


def text(certificate: Mapping[str, Any]) -> str:
    """Return the certificate of one target as Markdown."""
    new = summary.unknown(certificate)
    judged = scope.judgement(certificate)
    filled = rendered(
        "summary.md",
        c=certificate,
        mark={"conformant": "✅", "not run": "⚠️"}.get(judged, "❌"),
        rows=list(rows(certificate)),
        shown=new[:MOST],
        left_out=len(new) - len(new[:MOST]),
        says=summary,
        plain=plain,
        paragraphs=[[_coded(paragraph) for paragraph in paragraphs(entry["text"])] for entry in new],
    )
    return re.sub(r"\n{3,}", "\n\n", filled).strip() + "\n"


def _coded(paragraph: str) -> str:
    """Return a paragraph of a clause as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(paragraph))


def rows(certificate: Mapping[str, Any]) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield a row a class: its name, how many probes passed, and how many failed, are known to fail, are unsupported.

    Probes of a batch over processes count in the class of their clause, and once more in a row of their own.
    """
    probes = [(clauses()[probe["clause"]].kind, probe) for probe in certificate["probes"]]
    parts = [(summary.LABELS[kind], [p for own, p in probes if own == kind]) for kind in scope.CLASSES]
    parts.append(("over processes", [p for _, p in probes if p["clause"].startswith("DD-")]))
    for name, own in parts:
        counted = Counter(probe["verdict"] for probe in own)
        judged = [probe for probe in own if probe["verdict"] not in (UNSUPPORTED, NOT_RUN)]
        if judged or name != "over processes":
            passed = sum(counted[verdict] for verdict in summary.PASSED)
            failed = len(judged) - passed - counted[KNOWN]
            said = f"{passed} of {len(judged)} probes" if judged else "not judged"
            yield name, said, failed, counted[KNOWN], counted[UNSUPPORTED]
