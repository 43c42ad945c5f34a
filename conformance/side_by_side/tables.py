"""How answers stand side by side on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.words import cut, shown
from lossproof.conformance.side_by_side import ask
from lossproof.conformance.side_by_side.difference import Entries, allowed, apart

MOST = 6  # numbers of an array that are shown whole
STYLES = {ask.RIGHT: "green", ask.WRONG: "red", ask.UNSAID: "yellow", ask.NOTHING: "dim"}


def show_case(case: Case, console: Console) -> None:
    """Print the call of a case: loss, dtype, options and inputs."""
    options = [f"{name} = {shown(value)}" for name, value in case.parameters.items()]
    _line(console, ", ".join([case.loss, case.dtype, *options]), "bold")
    for name, array in case.inputs.items():
        _line(
            console, f"  {name} = {cut(str(array.tolist()), 300) if array.size else f'nothing, of shape {array.shape}'}"
        )


def show_answers(rows: Sequence[ask.Row], console: Console) -> None:
    """Print one table: a row for each implementation."""
    places = list(dict.fromkeys(where for row in rows for where in row.arrays))
    table = Table("", *places, "within budget", show_edge=False)
    for row in rows:
        cells = [_numbers(row.arrays[where]) if where in row.arrays else "" for where in places]
        table.add_row(Text(row.title), *map(Text, cells), Text(cut(row.words, 300), STYLES[row.says]))
    console.print(table)


def show_difference(titles: Sequence[str], one: Entries, other: Entries, console: Console) -> None:
    """Print one table: what each of two answers, how far apart that is, and how far it may be."""
    table = Table("", *map(escape, titles), "apart", "allowed", show_edge=False)
    for where in (where for where in one if where in other):
        a, b = one[where], other[where]
        if a.got.shape != b.got.shape:
            table.add_row(where, str(a.got.shape), str(b.got.shape), "shapes", "", style="red")
            continue
        room, wrong = np.broadcast_to(allowed(a, b), a.got.shape), apart(a, b)
        with np.errstate(invalid="ignore"):
            far = np.abs(a.meant - b.meant)
        place = _farthest(far, room)
        cells = [_numbers(a.got, b.got, place), _numbers(b.got, a.got, place)]
        distance = [f"{far[place]:.2g}", f"{room[place]:.2g}"] if far.size else ["", ""]
        table.add_row(where, *cells, *distance, style="red" if wrong.any() else "")
    console.print(table)


def _farthest(far: Array, room: Array) -> tuple[int, ...]:
    """Return the place that is farthest out of its room."""
    if not far.size:
        return ()
    with np.errstate(all="ignore"):
        share = np.nan_to_num(np.where(far == 0, 0.0, far / room), nan=np.inf, posinf=np.inf)
    return tuple(map(int, np.unravel_index(int(np.argmax(share)), far.shape)))


def _numbers(array: Array, beside: Array | None = None, place: tuple[int, ...] | None = None) -> str:
    """Return the numbers of an array with the digits that tell it from another; of a large one, one of them."""
    if array.size > MOST:
        if place is None:
            first = ", ".join(f"{x + 0.0:.4g}" for x in array.ravel()[:3])
            return f"{first}, … ({array.size})"
        return f"{_digits(array[place], None if beside is None else beside[place])} at {list(place)}"
    others = np.full(array.shape, None) if beside is None else beside

    def written(part: Any, other: Any) -> str:
        if np.ndim(part) == 0:
            return _digits(
                float(part), None if other is None or np.ndim(other) or other.dtype == object else float(other)
            )
        return f"[{', '.join(written(p, o) for p, o in zip(part, other, strict=True))}]"

    return written(array, others)


def _digits(number: float, other: float | None) -> str:
    for digits in (6, 10, 17):
        text = f"{number + 0.0:.{digits}g}"  # zero has no sign
        if other is None or other == number or text != f"{other:.{digits}g}":
            break
    return text


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), highlight=False, soft_wrap=True)
