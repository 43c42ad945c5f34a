"""How strong is the judge: what was measured of it, and its broken implementations clause by clause."""

from __future__ import annotations

from pathlib import Path

from docs.generate.links import clause_link, linked
from docs.generate.places import JUDGE, ROOT, homes
from docs.generate.templates import rendered
from docs.generate.under import asked, breakers, kills
from lossproof.spec import Page, page, page_names


def alone(clause: str) -> list[str]:
    """Return the broken implementations for which no other clause that they break is named."""
    return [
        row["mutant"]
        for row in breakers().get(clause, ())
        if [named for named in row["named"] if named in row["clauses"]] == [clause]
    ]


def of_page(own: Page) -> str:
    """Return the broken implementations of a page of the spec."""
    clauses = [
        {
            "id": key,
            "link": clause_link(key),
            "title": clause.title,
            "how": asked(key)["how"],
            "named": sum(key in row["named"] for row in kills()["mutants"]),
            "alone": alone(key),
            "mutants": asked(key)["mutants"],
        }
        for key, clause in own.clauses.items()
    ]
    return rendered("broken.md", name=own.name, title=own.text.splitlines()[0][2:], clauses=clauses)


def overview() -> list[dict[str, object]]:
    """Return a row for each page of the spec: clauses, those that are asked about, broken implementations."""
    rows = []
    for name in page_names():
        keys = page(name).clauses
        mutants = {row["mutant"] for key in keys for row in breakers().get(key, ())}
        rows.append({
            "name": name,
            "clauses": len(keys),
            "asked": sum(asked(key)["how"].startswith("Asked") for key in keys),
            "broken": len(mutants),
            "alone": sum(bool(alone(key)) for key in keys),
        })  # fmt: skip
    return rows


def write(source: Path, files: Path) -> None:
    """Write the pages on the judge."""
    folder = source / "judge"
    (folder / "broken").mkdir(parents=True)
    readme = (ROOT / "audit" / "README.md").read_text(encoding="utf-8")
    pages = {"judge/index": rendered("judge.md", text=linked(readme, "audit/README.md", files), names=JUDGE)}
    for name in JUDGE:
        path = f"audit/measured/{name}.md"
        pages[homes()[path]] = linked((ROOT / path).read_text(encoding="utf-8"), path, files)
    given = {"rows": overview(), "summary": kills()["summary"]}
    pages["judge/kills"] = rendered("kills.md", **given)
    pages["judge/trace"] = rendered("trace.md", **given)
    pages |= {f"judge/broken/{name}": of_page(page(name)) for name in page_names()}
    for name, text in pages.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
