"""Words for people: the name that was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def meant(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the one or two nearest of the known names, or nothing where none is near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=2)
    return f"; did you mean {' or '.join(repr(by_lower[name]) for name in near)}?" if near else ""
