"""How the text is cited, and under which licence it stands: from CITATION.cff."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from docs.generate.places import ROOT


@cache
def citation() -> Mapping[str, Any]:
    """Return what CITATION.cff says."""
    found: Mapping[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def words() -> dict[str, str]:
    """Return what an entry of BibTeX needs: author, year, licence."""
    cff = citation()
    author = " and ".join(a.get("name") or f"{a['given-names']} {a['family-names']}" for a in cff["authors"])
    return {"author": author, "year": str(cff["date-released"])[:4], "license": cff["license"]}
