"""What the machine-made pages share: cells of a table, short lists, and the command that writes a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

HOME = Path(__file__).parent / "measured"  # where the pages and the measurements behind them are kept


def cell(words: str) -> str:
    """Return words as they stand in a cell of a table."""
    return words.replace("|", "\\|")


def some(ids: Sequence[str], most: int) -> str:
    """Return the first ids, and how many more there are."""
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def publish(name: str, text: str, faults: Iterable[str], summary: str) -> int:
    """Write a page, say its faults and what it holds; return the exit status, 1 with a fault."""
    (HOME / name).write_text(text, encoding="utf-8")
    found = list(faults)
    for fault in found:
        print(fault)
    print(f"{name}: {summary}, {len(found)} faults")
    return 1 if found else 0
