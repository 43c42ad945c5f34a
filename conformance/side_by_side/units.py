"""Which units of a batch make two implementations differ: by their terms, else by masking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.side_by_side.difference import apart, difference
from lossproof.conformance.side_by_side.left_open import left_open
from lossproof.conformance.side_by_side.pair import BOTH, Pair
from lossproof.spec import losses

SHOWN = 8  # units that are named
OF_ROWS = {1: "row", 2: "pair", 3: "triplet"}  # what a unit is called that has so many rows
Differ = Callable[[Sequence[int]], bool]


def unsaid(pair: Pair, case: Case, structure: Structure) -> tuple[Mapping[str, Array], tuple[str, ...]]:
    """Return which entries the spec leaves open for one of two, and why."""
    own = pair.losses[case.loss]
    one, other = (left_open(pair.sides[s].oracle, own, pair.judged_of(s, case, structure)) for s in BOTH)
    alike = [n for n, a in one.entries.items() if n in other.entries and a.shape == other.entries[n].shape]
    sentences = dict.fromkeys(found.sentence for found in (one, other) if found.sentence)
    return {name: one.entries[name] | other.entries[name] for name in alike}, tuple(sentences)


def units_apart(pair: Pair, case: Case, structure: Structure) -> str:
    """Return the units whose terms differ, in one sentence: by reduction none where both have it, else by masking."""
    offer, page, value = pair.offers[case.loss], losses()[case.loss], replace(case, order=0, cotangent=None)
    unit = page.front["unit"] if page.front["unit"] != "row" else OF_ROWS.get(len(page.rows), "row")
    if offer.has("reduction") and offer.choices("reduction", ["none"]):
        terms = {**structure, "also": {"reduction": "none"}}
        answers = pair.answers(value, terms)
        if answers:
            one, other = (entries["loss"] for entries in pair.entries(value, terms, answers))
            if one.got.shape == other.got.shape:
                wrong = apart(one, other, unsaid(pair, value, terms)[0].get("loss", False))
                return _terms(pair, unit, wrong, one.got, other.got)
    if offer.has("mask"):
        return _masked(pair, value, structure, unit)
    letters = [
        letter for letter, side in zip(pair.letters, pair.sides, strict=True) if not side.offers[case.loss].has("mask")
    ]
    return f"Which {unit} it is cannot be asked: not both have reduction = none, and {' and '.join(letters)} no mask."


def listed(places: Array) -> str:
    """Return places in words."""
    shown = ", ".join(map(_place, places[:SHOWN].tolist()))
    return shown + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")


def _place(place: Sequence[int]) -> str:
    return str(place[0]) if len(place) == 1 else f"({', '.join(map(str, place))})"


def _are(word: str, places: Array) -> str:
    """Return "row 3 differs" or "rows 3, 5 differ"."""
    return f"{word} {listed(places)} differs" if len(places) == 1 else f"{word}s {listed(places)} differ"


def rows_apart(wrong: Array) -> str:
    """Return which rows of a gradient differ."""
    return _are("row", np.argwhere(wrong.any(axis=-1)))


def _terms(pair: Pair, unit: str, wrong: Array, one: Array, other: Array) -> str:
    if not wrong.any():
        return f"No term of a {unit} differs: what they differ in is the reduction, or the gradient."
    places = np.argwhere(wrong)
    first, (a, b) = tuple(places[0]), pair.letters
    return (
        f"Of {one.size} {unit}s, {_are(unit, places)}; at {_place(first)} {a} has {one[first]:g}, {b} {other[first]:g}."
    )


def _masked(pair: Pair, case: Case, structure: Structure, unit: str) -> str:
    """Return the units that differ alone; where terms share rows, the fewest rows that still differ."""
    page = losses()[case.loss]
    first = next(iter(page.inputs))
    kept = case.inputs.get("mask", np.ones(case.inputs[first].shape[:-1], bool))

    def differ(rows: Sequence[int]) -> bool:
        mask = np.isin(np.arange(kept.size), rows).reshape(kept.shape)
        masked = replace(case, inputs={**case.inputs, "mask": mask})
        answers = pair.answers(masked, structure)
        if answers is None:
            return False
        return difference(*pair.entries(masked, structure, answers), unsaid(pair, masked, structure)[0]) is not None

    rows = np.flatnonzero(kept).tolist()
    if not differ(rows):
        return f"No {unit} differs in its value: the gradient does."
    found = _alone(differ, rows) if page.front["unit"] == "row" else []
    if found:
        return f"With all others masked, {_are(unit, np.array(found)[:, None])}."
    return f"With all others masked, {_are('row', np.array(_fewest(differ, rows))[:, None])}, and fewer of them do not."


def _alone(differ: Differ, rows: list[int]) -> list[int]:
    """Return the rows that differ, by halves."""
    if len(rows) == 1:
        return rows
    halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    return [row for half in halves if differ(half) for row in _alone(differ, half)]


def _fewest(differ: Differ, rows: list[int]) -> list[int]:
    """Leave out rows, many at once and then one by one, as long as the others differ."""
    size = len(rows) // 2
    while size:
        rests = (rows[:start] + rows[start + size :] for start in range(0, len(rows), size))
        found = next((rest for rest in rests if rest and differ(rest)), None)
        rows, size = (rows, size // 2) if found is None else (found, size)
    return rows
