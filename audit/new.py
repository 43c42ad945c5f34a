"""Lays out a loss from its page: skeletons of what is written by hand, and every line elsewhere that names it.

    python -m audit new NAME      from spec/NAME.md; where there is none, its skeleton is written and that is all

No file is overwritten. A second run writes nothing that is there; ranges of clauses it brings up to the page.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from audit.layout import Layout, refuse
from lossproof.spec import Page
from lossproof.spec.page import parsed

ROOT = Path(__file__).parents[1]
BACKENDS = ("torch", "tensorflow", "jax")
BY_HAND = {  # file -> template, in the order in which they are written
    "reference/{}.py": "reference.py",
    "reference/judged/{}.py": "judged.py",
    "conformance/judge/exact/{}.py": "exact.py",
    "conformance/plan/cases/{}/space.py": "space.py",
    "conformance/plan/cases/{}/boundaries.py": "boundaries.py",
    "conformance/plan/cases/{}/probes.py": "probes.py",
    "conformance/plan/cases/{}/__init__.py": "cases.py",
    **{f"backends/{framework}/{{}}.py": f"{framework}.py" for framework in BACKENDS},
    "audit/mutants/{}.py": "mutants.py",
}
LAST = (  # what no page says
    "tests/test_sources.py: the source's formula, typed again",
    "CHANGELOG.md: a line",
    "python -m audit vectors {}; python -m audit kills --only {}; python -m audit trace; python -m audit matrix",
)


def rendered(template: str, **given: object) -> str:
    """Return the text of a skeleton."""
    places = FileSystemLoader(Path(__file__).parent / "templates")
    jinja = Environment(loader=places, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                        keep_trailing_newline=True)  # fmt: skip
    return jinja.get_template(f"{template}.jinja").render(**given)


def pages(root: Path) -> dict[str, Page]:
    """Return the pages of a tree."""
    found = sorted((root / "spec").glob("*.md"))
    return {path.stem: parsed(path.stem, path.read_text(encoding="utf-8")) for path in found if path.stem != "README"}


def page_skeleton(name: str, known: dict[str, Page]) -> str:
    """Return the skeleton of a page, with an id of clauses and a number of its source that no page has."""
    used = {key.split("-")[0] for page in known.values() for key in page.clauses}
    letters = name.replace("_", "").upper()
    prefix = next(letters[0] + other for other in (*letters[1:], *"ABCDEFGHIJ") if letters[0] + other not in used)
    rows = [int(row[1:]) for page in known.values() for row in page.front.get("references", {})]
    title = f"{name.replace('_', ' ').capitalize()} loss"
    return rendered("page.md", name=name, title=title, prefix=prefix, row=f"S{max([21, *rows]) + 1}")


def inserted(text: str, line: str, siblings: str, before: str = "") -> str:
    """Return the text with a line among its siblings: in their order, or before the first that matches `before`."""
    if line in text.splitlines():
        return text
    lines = text.splitlines(keepends=True)
    places = [i for i, other in enumerate(lines) if re.match(siblings, other)]
    later = [i for i in places if (re.search(before, lines[i]) if before else lines[i] > line)]
    lines.insert(later[0] if later else places[-1] + 1, f"{line}\n")
    return "".join(lines)


def edits(own: Layout, root: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that names the loss, with the text that it must have."""

    def text(file: str) -> str:
        return (root / file).read_text(encoding="utf-8")

    for home, names in (("reference", [own.loss]), *((f"backends/{b}", [own.cls, own.loss]) for b in BACKENDS)):
        package = f"lossproof.{home.replace('/', '.')}"
        found = text(f"{home}/__init__.py")
        if f"from {package}.{own.name} import" not in found:
            line = f"from {package}.{own.name} import {', '.join(names)}"
            found = inserted(found, line, rf"from {re.escape(package)}\.")
        for name in names:
            found = inserted(found, f'    "{name}",', r'    "\w+",$')
        yield f"{home}/__init__.py", found
    judged = inserted(text("reference/judged/__init__.py"), f"    {own.name},", r"    \w+,$")
    yield "reference/judged/__init__.py", inserted(judged, f'    "{own.name}",', r'    "\w+",$')
    cases = "lossproof.conformance.plan.cases"
    package = f'    "{cases}.{own.name}",'
    yield "pyproject.toml", inserted(text("pyproject.toml"), package, rf'    "{re.escape(cases)}\.')
    if f"`{own.loss}`" not in (found := text("README.md")):
        line = f"| `{own.loss}` | [{own.name}](spec/{own.name}.md) | TODO: a few words |"
        found = inserted(found, line, r"\| `.*\]\(spec/", r"mining\.md")
    yield "README.md", found
    if f"({own.name}.md)" not in (found := text("spec/README.md")):
        line = f"| [{own.name}]({own.name}.md) | TODO: the same words | {own.range} |"
        found = inserted(found, line, r"\| \[", r"mining\.md")
    yield "spec/README.md", found
    found = text("docs/sources.md")
    for row in own.page.front.get("references", {}):
        if f"| {row} |" not in found:
            found = inserted(found, f"| {row} | {own.row} |", r"\| S\d", r"never")
    yield "docs/sources.md", found


def up_to_date(own: Layout, root: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that say which clauses the page has, with the range that it has now."""
    if own.page.functions:  # they share the clauses of a page among them
        return
    first = own.clauses[0]
    for file in ("spec/README.md", *(f.format(own.name) for f in BY_HAND if "conformance" not in f)):
        text = (root / file).read_text(encoding="utf-8")
        yield file, re.sub(rf"\b{first} to {first[:-1]}\d+", own.range, text)


def lay_out(name: str, root: Path = ROOT) -> list[str]:
    """Write what is missing of a loss, and return the files that were written or changed."""
    known = pages(root)
    if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name):
        raise ValueError(f"a page is named in small letters, as triplet_margin is, not {name!r}")
    if name not in known:
        (root / "spec" / f"{name}.md").write_text(page_skeleton(name, known), encoding="utf-8")
        return [f"spec/{name}.md"]
    refuse(known[name])
    own, last = Layout(known[name]), max(int(key.split("-")[1]) for key in known["conventions"].clauses)
    missing = {file.format(name): template for file, template in BY_HAND.items()}
    missing = {file: template for file, template in missing.items() if not (root / file).exists()}
    changed = list(missing)
    written = [rendered(template, own=own, conventions=f"CV-1 to CV-{last}") for template in missing.values()]
    for file, text in zip(missing, written, strict=True):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    for changes in (edits, up_to_date):
        for file, text in changes(own, root):
            if text != (root / file).read_text(encoding="utf-8"):
                (root / file).write_text(text, encoding="utf-8")
                changed.append(file)
    return changed


def left(name: str, root: Path = ROOT) -> Iterator[str]:
    """Yield what is still to be written by hand, in order."""
    for file in (f"spec/{name}.md", *BY_HAND, "README.md", "spec/README.md"):
        path = root / file.format(name)
        places = path.read_text(encoding="utf-8").count("TODO") if path.is_file() else 0  # a loss may have no kinks
        if places:
            yield f"{file.format(name)}: {places} TODO"


def main() -> int:
    """Lay out a loss; say what was written, and what is left to write."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("name", metavar="NAME", help="the name of the page: cosface")
    name = asked.parse_args().name.removesuffix("_loss")
    try:
        changed = lay_out(name)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    for file in changed:
        print(f"written: {file}")
    if changed == [f"spec/{name}.md"]:
        print("There was no page. Write it, then run this again: the rest follows from its signature.")
        return 0
    loss = parsed(name, (ROOT / "spec" / f"{name}.md").read_text(encoding="utf-8")).front["loss"]
    print("\n".join(["by hand, in this order:", *(f"  {line}" for line in (*left(name), *LAST))]).replace("{}", loss))
    return 0
