"""Compile the C port: `python examples/ports/c/build.py PORT` writes the program that speaks the protocol.

The compiler is `cc` where there is one, and otherwise that of the wheel `ziglang` (dependency group `ports`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAM = tuple(FOLDER / name for name in ("lossproof.c", "json.c", "protocol.c"))
STRICT = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


def compiler() -> list[str]:
    """Return the command of a C compiler."""
    found = shutil.which("cc")
    return [found] if found else [sys.executable, "-m", "ziglang", "cc"]


def build(output: Path, sources: tuple[Path, ...] = PROGRAM, flags: tuple[str, ...] = STRICT) -> Path:
    """Compile C sources to a program, and return its path; a failure shows what the compiler said."""
    command = [*compiler(), *flags, f"-I{FOLDER}", *map(str, sources), "-lm", "-o", str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}")
    return output


if __name__ == "__main__":
    build(Path(sys.argv[1]))
