"""Words for people: the name that was meant, and a text of bearable length."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST = 2000  # characters of what an implementation says


def meant(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the one or two nearest of the known names, or nothing where none is near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=2)
    return f"; did you mean {' or '.join(repr(by_lower[name]) for name in near)}?" if near else ""


def cut(text: str, most: int = LONGEST) -> str:
    """Return a text with its middle left out where it is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters left out) … {text[-half:]}"


def shown(value: Any) -> str:
    """Return the value of an option as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
