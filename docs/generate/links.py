"""Links: what a relative link of a file of the repository becomes on the site, and clauses that are named in a text."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath

from docs.generate.places import ROOT, homes, readme_home
from lossproof.spec import clauses

_SCAN = re.compile(
    r"(?P<fence>^ *(?:```|~~~).*?^ *(?:```|~~~) *$|^    [^\n]*$)"
    r"|(?P<link>!?\[(?P<words>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\))"
    r"|(?P<kept>`+[^`]+`+|\$\$.+?\$\$|\$(?=\S)[^$\n]+(?:\n[^$\n]+)?\$|^#+ [^\n]*$)",
    re.DOTALL | re.MULTILINE,
)
_CLAUSE = re.compile(r"(?<![\w/#\[-])([A-Z]{2}-\d+)(?![\w/-])")


def clause_link(clause: str, words: str = "") -> str:
    """Return a link to a clause, as Markdown; what is no clause stays as it is."""
    return f"[{words or clause}](#{clause.lower()})" if clause in clauses() else words or clause


def linked(text: str, origin: str = "", files: Path | None = None) -> str:
    """Return Markdown of a file of the repository as it stands on the site.

    Relative links lead to pages of the site, or to a copy of the file in `files`; clauses that are named become links.
    Code, formulas and headings stay as they are.
    """
    pieces, start = [], 0
    for found in _SCAN.finditer(text):
        pieces += [_named(text[start : found.start()]), _resolved(found, origin, files) if found["link"] else found[0]]
        start = found.end()
    return "".join([*pieces, _named(text[start:])])


def _named(text: str) -> str:
    return _CLAUSE.sub(lambda found: clause_link(found[1]), text)


def _resolved(link: re.Match[str], origin: str, files: Path | None) -> str:
    words, target = link["words"], link["target"]
    path, _, fragment = target.partition("#")
    if ":" in path or (target.startswith("#") and origin != "README.md"):
        return link[0]
    place = normpath(f"{Path(origin).parent.as_posix()}/{path}") if path else origin
    if words in clauses():
        return clause_link(words)
    if place == "README.md" and fragment:
        return f"[{words}](/{readme_home(fragment)}.md#{fragment})"
    if place in homes():
        return f"[{words}](/{homes()[place]}.md{'#' + fragment if fragment else ''})"
    if not (ROOT / place).exists():
        raise ValueError(f"{origin}: the link {target!r} leads to no file; expected a path relative to the file")
    if files is None or (ROOT / place).is_dir():
        return words
    copy = files / place
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes((ROOT / place).read_bytes())
    return f"{'!' * link[0].startswith('!')}[{words}](/{files.name}/{place})"
