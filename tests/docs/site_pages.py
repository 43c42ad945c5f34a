"""A site on disk: its pages, what they link to, and which of these links lead nowhere."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

PATIENCE = 120_000  # milliseconds that a browser may take on a machine that is busy
LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


@dataclass
class Page(HTMLParser):
    """A page: the anchors that it has, where it links to, and what a browser loads with it."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in LOADED and given.get(LOADED[tag]):
            self.loaded.append(given[LOADED[tag]])


def pages(folder):
    """Return every page of a site, by its path."""
    found = {}
    for path in sorted(Path(folder).rglob("*.html")):
        found[path] = Page()
        found[path].feed(path.read_text(encoding="utf-8"))
    return found


def broken_links(found):
    """Return the links of pages that lead to no file, or to no anchor of one."""
    broken = []
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            anchors = found[target].anchors if target in found else None
            place = "figure" if parts.fragment.startswith("figure=") else unquote(parts.fragment)  # with a case in it
            missing = place and anchors is not None and place not in anchors
            if not target.is_file() or missing:
                broken.append(f"{path.name}: {link}")
    return broken


def foreign(found):
    """Return what pages load from elsewhere."""
    return sorted({url for page in found.values() for url in page.loaded if urlsplit(url).netloc})
