"""The pages of the spec: the text, its signature as tables, and under each clause who asks and who differs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docs.generate.cite import words
from docs.generate.figure import words as waiting
from docs.generate.figures import figure
from docs.generate.links import clause_link, linked
from docs.generate.places import ROOT, SPEC
from docs.generate.signature import signature
from docs.generate.templates import rendered
from docs.generate.under import asked, differing, summary
from lossproof.spec import Clause, Page, clauses, page, page_names, spec_version

MOST = 3  # entries below a clause; a page of their own has all
_SIGNATURE = re.compile(r"^## Signature\n\n(```toml\n.*?^```$)", re.DOTALL | re.MULTILINE)
_MARK = "\ue000{}\ue001"  # stands for a part that is made, while links are made in the rest
_TOML = re.compile(r"^```toml\n.*?^```$", re.DOTALL | re.MULTILINE)


def heading(clause: Clause) -> str:
    """Return the heading of a clause as it stands in the text."""
    return f"### {clause.id} · {clause.level} · {clause.kind} · {clause.title}\n"


def clause_text(clause: Clause, origin: str, files: Path) -> str:
    """Return a clause as it stands on the site, with a figure at each example that can be drawn."""
    blocks, prose = _TOML.findall(clause.text), _TOML.split(clause.text)
    body = linked(prose[0], origin, files)
    for example, block, after in zip(clause.examples, blocks, prose[1:], strict=True):
        body += f"\n{figure(example)}\n{block}\n{linked(after, origin, files)}"
    below = {"summary": summary(clause.id), "differing": differing(clause.id), "asked": asked(clause.id), "most": MOST}
    return rendered("clause.md", clause=clause, body=body, **below)


def spec_page(own: Page, files: Path) -> str:
    """Return a page of the spec as it stands on the site."""
    origin, text = f"spec/{own.name}.md", own.text
    made: list[str] = []
    for clause in own.clauses.values():
        before, _, rest = text.partition(heading(clause))
        end = rest.index(clause.text) + len(clause.text)
        text = f"{before}{_MARK.format(len(made))}{rest[end:]}"
        made.append(clause_text(clause, origin, files))
    found = _SIGNATURE.search(text)
    if found:
        text = f"{text[: found.start()]}{_MARK.format(len(made))}{text[found.end() :]}"
        made.append(rendered("signature.md", rows="\n".join(signature(own)), toml=found[1]))
    if "loss" in own.front:  # the interactive figure stands between what a loss is and how it is called
        before, mark, after = text.partition("\n**Error scale.**")
        text = f"{before}{rendered('figure_place.md', loss=own.front['loss'], words=waiting(own))}{mark}{after}"
    text = linked(text, origin, files)
    for place, part in enumerate(made):
        text = text.replace(_MARK.format(place), part)
    title, first = own.text.splitlines()[0][2:], next(iter(own.clauses))
    given = {"name": own.name, "title": title, "clause": first, "version": spec_version(), **words()}
    return rendered("spec_page.md", text=text, **given)


def index(files: Path) -> str:
    """Return the front page of the spec."""
    text = (ROOT / "spec" / "README.md").read_text(encoding="utf-8")
    return rendered("spec_index.md", text=linked(text, "spec/README.md", files), names=page_names())


def every_clause() -> Iterator[str]:
    """Yield the lines of a page that lists all clauses."""
    yield from ("# All clauses", "", "| clause | level | class | says |", "|---|---|---|---|")
    for key, clause in clauses().items():
        yield f"| {clause_link(key)} | {clause.level} | {clause.kind} | {clause.title.replace('|', chr(92) + '|')} |"


def alias(target: str) -> str:
    """Return a page that leads on to `target`, its anchor included where a script may run."""
    return rendered("alias.html", target=target)


def write(source: Path, files: Path) -> None:
    """Write the pages of the spec, and the pages of earlier minor versions and of `latest`, which lead to them."""
    folder = source / SPEC
    folder.mkdir(parents=True)
    for name in page_names():
        (folder / f"{name}.md").write_text(spec_page(page(name), files), encoding="utf-8")
    (folder / "index.md").write_text(index(files), encoding="utf-8")
    (folder / "clauses.md").write_text("\n".join(every_clause()) + "\n", encoding="utf-8")
    major, minor = spec_version().split(".")
    for earlier in ("latest", *(f"{major}.{n}" for n in range(int(minor)))):
        for name in ("index", "clauses", *page_names()):
            place = source / "_aliases" / "spec" / earlier / f"{name}.html"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(alias(f"../{spec_version()}/{name}.html"), encoding="utf-8")
