"""The guides: files of the repository as they stand, sections of README, and the front page."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generate.cite import citation, words
from docs.generate.links import linked
from docs.generate.peers import by_clause, peers
from docs.generate.places import GUIDES, README, ROOT, SPEC, homes
from docs.generate.templates import rendered
from docs.generate.under import kills
from lossproof.spec import clauses, losses, spec_version

_AS_THEY_STAND = (
    *(f"docs/{name}.md" for name in GUIDES),
    *("conformance/protocol.md", "spec/vectors/README.md", "spec/vectors/CHANGELOG.md", "examples/digits/README.md"),
    "examples/ports/README.md",
    *("benchmarks/README.md", "benchmarks/NOTES.md", "benchmarks/measured/TABLE.md"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
)
_TITLES = {
    "start": "Use a loss",
    "certify": "Write an implementation, and certify it",
    "ci": "In your own CI",
    "compare": "Which function do I have, and why do two differ?",
}


def read(path: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def sections() -> dict[str, str]:
    """Return the text under each heading of README."""
    parts = re.split(r"^(?:##|###) (.+)$", read("README.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def of_readme(name: str, files: Path) -> str:
    """Return a page that is made of sections of README."""
    found = sections()
    missing = [title for title in README[name] if title not in found]
    if missing:
        raise ValueError(f"README.md has no section {missing[0]!r}; expected of the guide {name!r}")
    parts = [f"## {title}\n{linked(found[title], 'README.md', files)}" for title in README[name]]
    if len(parts) == 1:
        parts = [parts[0].split("\n", 1)[1]]
    return f"# {_TITLES[name]}\n\n" + "\n".join(parts)


def verdict() -> tuple[str, str]:
    """Return the line that shows a fault, and the finding of the judge, as README has them."""
    blocks = re.findall(r"^```\n(.*?)^```$", read("README.md"), re.DOTALL | re.MULTILINE)
    return blocks[0], blocks[1]


def write(source: Path, files: Path) -> None:
    """Write the guides, the front page and the page on citing."""
    pages = {homes()[path]: linked(read(path), path, files) for path in _AS_THEY_STAND}
    pages |= {f"guides/{name}": of_readme(name, files) for name in README}
    pages[homes()["benchmarks/measured/TABLE.md"]] = f"# Times\n\n{pages[homes()['benchmarks/measured/TABLE.md']]}"
    line, finding = verdict()
    counts = {
        "clauses": len(clauses()),
        "losses": len(losses()),
        "peers": len(peers()),
        "findings": sum(map(len, by_clause().values())),
        "mutants": kills()["summary"]["mutants"],
        "killed": kills()["summary"]["killed"],
    }
    given = {"spec": SPEC, "version": spec_version(), **counts}
    pages["index"] = rendered("index.md", line=line, finding=finding, **given)
    pages["guides/index"] = rendered("guides.md", **given)
    pages["cite"] = rendered("cite.md", cff=citation(), text=read("CITATION.cff"), **words(), **given)
    for name, text in pages.items():
        place = source / f"{name}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
