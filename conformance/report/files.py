"""Files that a reader may open at any time: each is the old one or the new one, never a part of one."""

from __future__ import annotations

import os
from pathlib import Path


def atomic(path: Path, content: str | bytes) -> None:
    """Write a file under another name and give it its own when it is whole; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
