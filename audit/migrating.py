"""The tables of docs/migrating.md, made from the dialects: each public call there, ours, and what stays different."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from lossproof.backends.migration import FRAMEWORKS, Call
from lossproof.spec import Dialect, dialects
from lossproof.spec.dialect import code, value_of

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"
START, END = "<!-- made by: python -m audit migrating -->", "<!-- end of what is made -->"


def tables() -> str:
    """Return one table a library."""
    every = sorted(dialects(), key=lambda dialect: dialect.library.lower())
    return "\n".join(_table(list(own)) for _, own in groupby(every, lambda d: (d.library, d.versions)))


def _table(own: list[Dialect]) -> str:
    tested = f", run beside ours with {', '.join(own[0].tested)}" if own[0].tested else ""
    lines = [f"**[{own[0].library}]({own[0].source})** {own[0].versions}{tested}", ""]
    lines += ["| there | here | what stays different |", "|---|---|---|"]
    return "\n".join([*lines, *(row for dialect in own for row in _rows(dialect)), ""])


def _rows(dialect: Dialect) -> list[str]:
    """Return the row of the defaults, and one of each value that no call of ours gives, or that one gives alone."""
    needed = {name: 0.5 for name in dialect.options if name not in dialect.defaults}
    rows, offered = [_row(dialect, needed)], not dialect.setting(**needed).departs
    for name, words in dialect.values.items():
        asked = [{**needed, name: value_of(word)} for word in words]
        rows += [
            _row(dialect, given, alone=False) for given in asked if bool(dialect.setting(**given).departs) == offered
        ]
    return rows


def _row(dialect: Dialect, given: Mapping[str, object], *, alone: bool = True) -> str:
    call = Call(dialect, dialect.setting(**given))
    short = dialect.name.rpartition(".")[2]
    there = f"`{short}({', '.join(f'{name}={code(value)}' for name, value in given.items())})`"
    kind = dialect.framework if dialect.framework in FRAMEWORKS else "torch"
    here = f"`{call.line(kind)}`" if call.offered else f"none: {call.reason}"
    differs = " ".join(f"{d.clause}: {d.says}" if d.clause else d.says for d in call.differs if alone)
    return f"| {there} | {here} | {differs} |".replace("  ", " ")


def made(text: str) -> str:
    """Return the page with its tables made anew."""
    pattern = re.compile(f"{re.escape(START)}\n.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{START}\n{tables()}\n{END}", text)


def main() -> int:
    """Write the tables into the page."""
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0
