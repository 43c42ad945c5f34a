"""The frozen vectors as one file: the same vectors are the same bytes, whoever packs them and whenever."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import jsonschema

from lossproof.conformance.host.words import cut
from lossproof.conformance.report.files import atomic

TOP = "lossproof-vectors"  # the folder that it unpacks to
PARTS = ("*.json", "*.md")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of the times that the format can hold


def packed(folder: Path) -> bytes:
    """Return the archive of a folder of vectors; ValueError names the file that the schema does not allow, and where.

    Names are sorted and have one time and one mode, and nothing is compressed: a compressor has versions.
    """
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(path for pattern in PARTS for path in folder.glob(pattern)):
            content = path.read_bytes()
            if path.suffix == ".json" and path.name != "schema.json":
                _check(path, content, schema)
            entry = zipfile.ZipInfo(f"{TOP}/{path.name}", _EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file of Unix
            file.writestr(entry, content)
    return archive.getvalue()


def _check(path: Path, content: bytes, schema: object) -> None:
    try:
        jsonschema.validate(json.loads(content), schema)
    except jsonschema.ValidationError as problem:
        raise ValueError(f"{path}: {problem.json_path}: {cut(problem.message, 200)}") from problem
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from problem


def pack(folder: Path, arguments: Sequence[str]) -> int:
    """Write the archive where `--zip FILE` says; return the exit status."""
    if len(arguments) != 2 or arguments[0] != "--zip":
        print(f"--zip needs the name of one file and nothing else, got {' '.join(arguments)!r}", file=sys.stderr)
        return 2
    try:
        content = packed(folder)
        atomic(Path(arguments[1]), content)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"cannot write {arguments[1]}: {problem.strerror}", file=sys.stderr)
        return 2
    print(f"{arguments[1]}: {len(content)} bytes")
    return 0
