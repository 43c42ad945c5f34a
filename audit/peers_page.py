"""docs/peers.md."""

from __future__ import annotations

from pathlib import Path


def write(root: Path) -> None:
    """Write the page."""
