"""Options of a call that are wrong, from the signature on its page: number, count, switch, word, and together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from math import inf, nan
from typing import Any

from lossproof.spec import losses

Wrong = tuple[str, str, dict[str, Any]]  # clause, label, options
UNHEARD = "unheard_of"


def wrong(options: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield options that are unknown, outside their range, of another type, or that do not go together."""
    yield "CV-38", "an unknown option", {UNHEARD: 1.0}
    for name, given in options.items():
        of_kind = {"real": _real, "count": _count, "integer": _integer, "bool": _switch, "choice": _word}
        if given["kind"] in of_kind:
            yield from of_kind[given["kind"]](name, given)
    yield from _together(options)


def bounds(given: Mapping[str, Any]) -> tuple[float, float, bool, bool]:
    """Return the ends of a range, and whether each belongs to it; a name stands for its default, 0."""
    ends = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", given["range"])
    if ends is None:
        raise ValueError(f"no range: {given['range']!r}")
    low = float(ends[2]) if re.match(r"-?[\d.]", ends[2]) else 0.0
    return low, float(ends[3]), ends[1] == "[", ends[4] == "]"


def _real(name: str, given: Mapping[str, Any]) -> Iterator[Wrong]:
    low, high, closed, with_high = bounds(given)
    own, near = given.get("clause", "CV-28"), "applies_to" in given
    below = [low - 0.5, low - 1.0] if near else [low - 1.0, low - 0.5]  # the first names the question
    yield from _each(own, f"{name} {below[0]:g}", name, [*below, -inf] + ([] if closed else [low]))
    if high < inf:
        for value in (high + 1.0, high + 0.5):
            yield own, f"{name} {high + 1.0:g}", {name: value}
    yield "CV-28", f"{name} nan", {name: nan}
    if not (high == inf and with_high):
        yield "CV-28", f"{name} inf", {name: inf}
    yield from _each("CV-37", f"{name} of another type", name, (True, "1"))


def _count(name: str, given: Mapping[str, Any]) -> Iterator[Wrong]:
    low = int(bounds(given)[0])
    yield from _each(given.get("clause", "CV-28"), f"{name} {low - 1}", name, (low - 1, low - 2))
    yield from _each(given.get("clause", "CV-28"), f"{name} that is no integer", name, (low + 0.5, nan, inf))
    yield from _each("CV-37", f"{name} of another type", name, (True, low + 1.0, str(low + 1)))


def _integer(name: str, given: Mapping[str, Any]) -> Iterator[Wrong]:
    own = given.get("clause", "CV-28")
    if given.get("range") == "outside [0, C)":
        for value in (1, 0):
            yield own, f"{name} in [0, C)", {name: value}
    yield from _each(own, f"{name} that is no integer", name, (-0.5, nan))
    yield from _each("CV-37", f"{name} of another type", name, (-1.0, "-1"))


def _switch(name: str, given: Mapping[str, Any]) -> Iterator[Wrong]:
    yield from _each("CV-27", f"a word for {name}", name, ("no", "true"))
    yield from _each("CV-37", f"{name} of another type", name, (1, 0.0))


def _word(name: str, given: Mapping[str, Any]) -> Iterator[Wrong]:
    yield from _each("CV-27", f"unknown {name}", name, ("unheard of", "average", ""))
    for word in sorted(_words().get(name, set()) - set(given["choices"])):  # those of another loss
        yield given.get("clause", "CV-27"), f"{name} {word}", {name: word}
    yield "CV-37", f"{name} of another type", {name: 1}


@cache
def _words() -> Mapping[str, set[str]]:
    """Return what each word option of any loss may be."""
    found: dict[str, set[str]] = {}
    for page in losses().values():
        for name, given in page.parameters.items():
            found.setdefault(name, set()).update(given.get("choices", ()))
    return found


def _each(clause: str, label: str, name: str, values: Iterable[Any]) -> Iterator[Wrong]:
    return ((clause, label, {name: value}) for value in values)


def _together(options: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield options that do not apply to the chosen distance (DI-21), and those that p = inf leaves out (DI-20)."""
    other = {"p": 1.0, "eps": 0.5, "eps_at": "root"}
    for name, given in options.items():
        if "applies_to" in given:
            for distance in options["distance"]["choices"]:
                if distance != given["applies_to"]:
                    yield "DI-21", f"{name} with another distance", {"distance": distance, name: other[name]}
    if "eps_at" in options:
        for placed in options["eps_at"]["choices"]:
            if placed != "difference":
                yield "DI-20", f"{placed} at infinity", {"p": inf, "eps": 0.5, "eps_at": placed}
