"""Words for people: the name that was meant, and a text of bearable length."""

from __future__ import annotations

from typing import Any

from lossproof.spec.words import meant

__all__ = ["LONGEST", "cut", "meant", "shown"]

LONGEST = 2000  # characters of what an implementation says


def cut(text: str, most: int = LONGEST) -> str:
    """Return a text with its middle left out where it is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters left out) … {text[-half:]}"


def shown(value: Any) -> str:
    """Return the value of an option as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
