"""`python -m docs.generate FOLDER` writes the sources of the site into an empty folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from docs.generate import api, figure, guides, judge, peer_pages, spec_pages
from docs.generate.one_name import SCRIPTS
from docs.generate.peers import MeasuredError
from docs.generate.places import ROOT
from lossproof.conformance.report.known_failures import KnownFailuresError


def main() -> int:
    """Write every page; exit status 2, and one line, where what was measured cannot be read."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    source = Path(sys.argv[1])
    files = source / "_files"
    if source.exists() and any(source.iterdir()) and not files.is_dir():
        print(f"docs: {source} holds files that are not of this command; expected an empty folder", file=sys.stderr)
        return 2
    shutil.rmtree(source, ignore_errors=True)
    files.mkdir(parents=True)
    for script in (f"{key}{part}.py" for key in SCRIPTS for part in ("", "_libraries")):
        (files / "examples").mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples" / script, files / "examples")
    try:
        for part in (spec_pages, peer_pages, judge, guides, api, figure):
            part.write(source, files)
    except (MeasuredError, KnownFailuresError) as problem:
        print(f"docs: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
