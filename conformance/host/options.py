"""The arguments that the pages give a loss or another function, and whether a value is legal for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lossproof.spec import functions, losses


def inputs_of(name: str) -> Mapping[str, Any]:
    """Return the array arguments of a loss or of another function, by name."""
    return losses()[name].inputs if name in losses() else functions()[name]["inputs"]


def parameters_of(name: str) -> Mapping[str, Any]:
    """Return the options of a loss or of another function, by name."""
    return losses()[name].parameters if name in losses() else functions()[name].get("parameters", {})


def arguments_of(name: str) -> tuple[str, ...]:
    """Return the names of all arguments of a loss or of another function."""
    return (*inputs_of(name), *parameters_of(name))


def required_of(name: str) -> list[str]:
    """Return the array arguments that every call has."""
    return [key for key, entry in inputs_of(name).items() if not entry.get("optional")]


def expectation(entry: Mapping[str, Any], value: Any) -> str | None:
    """Return what an option must be, where the value is not that; None where it is legal."""
    kind = entry["kind"]
    if kind == "choice":
        return None if value in entry["choices"] else f"one of {', '.join(entry['choices'])}"
    if kind == "bool":
        return None if isinstance(value, bool) else "true or false"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and float(value).is_integer()
    if not number or (kind != "real" and not whole):
        return "a number" if kind == "real" else "a whole number"
    return None if within(entry.get("range", ""), value) else f"in {entry['range']}"


def within(span: str, value: float) -> bool:
    """Whether a number is in a range of a page; an end that is no number (a name) excludes nothing."""
    ends = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", span)
    if not ends:
        return value == value
    left, low, high, right = ends.groups()
    above = not _is_number(low) or (value >= float(low) if left == "[" else value > float(low))
    below = not _is_number(high) or (value <= float(high) if right == "]" else value < float(high))
    return value == value and above and below


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?(inf|[\d.]+)", text) is not None
