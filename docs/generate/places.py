"""Where everything stands: the folders of the repository, the pages of the site, and what each file becomes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from lossproof.spec import page_names, spec_version

ROOT = Path(__file__).parents[2]
SPEC = f"spec/{spec_version()}"
GUIDES = ("choose", "devices", "migrating", "port", "recipes", "sources")  # files of docs/ that are pages as they stand
JUDGE = ("ALARMS", "BUDGETS", "MUTATION")  # files of audit/measured/ that are pages as they stand
README = {  # the pages that are made of sections of README
    "start": ("Install", "Use a loss", "Train over many devices", "One loss, three frameworks"),
    "certify": (
        "Certify your own",
        "What a signature cannot say, and what was found",
        "Certify everything on a fresh clone",
    ),
    "ci": ("In your own CI",),
    "compare": ("Which function do I really have?", "Why do two differ?"),
}


@cache
def homes() -> dict[str, str]:
    """Return the page of the site for each file of the repository that has one."""
    found = {f"spec/{name}.md": f"{SPEC}/{name}" for name in page_names()}
    found |= {f"docs/{name}.md": f"guides/{name}" for name in GUIDES}
    found |= {f"audit/measured/{name}.md": f"judge/{name.lower()}" for name in JUDGE}
    return found | {
        "README.md": "guides/start",
        "CHANGELOG.md": "changelog",
        "CONTRIBUTING.md": "contributing",
        "SECURITY.md": "security",
        "LICENSE": "cite",
        "CITATION.cff": "cite",
        "spec/README.md": f"{SPEC}/index",
        "spec": f"{SPEC}/index",
        "spec/vectors/README.md": "guides/vectors",
        "spec/vectors": "guides/vectors",
        "spec/vectors/CHANGELOG.md": "guides/vectors_changelog",
        "conformance/protocol.md": "guides/protocol",
        "docs/peers.md": "peers/index",
        "conformance/peers": "peers/index",
        "audit": "judge/index",
        "audit/README.md": "judge/index",
        "audit/measured": "judge/index",
        "audit/measured/KILLS.md": "judge/kills",
        "audit/measured/TRACE.md": "judge/trace",
        "benchmarks/README.md": "guides/benchmarks",
        "benchmarks/NOTES.md": "guides/benchmark_notes",
        "benchmarks/measured/TABLE.md": "guides/times",
        "examples/ports": "guides/ports",
        "examples/ports/README.md": "guides/ports",
        "examples/digits": "guides/digits",
        "examples/digits/README.md": "guides/digits",
    }


def readme_home(anchor: str) -> str:
    """Return the page on which a section of README stands, by its anchor."""
    for name, sections in README.items():
        if anchor in (re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in sections):
            return f"guides/{name}"
    raise ValueError(f"README.md: no page of the site has its section {anchor!r}")
