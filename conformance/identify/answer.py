"""What came out, in words: the call of ours, the dialects that it is, and where the function does otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lossproof.conformance.host.options import required_of
from lossproof.conformance.identify.corners import Departure
from lossproof.conformance.identify.search import Match
from lossproof.spec import Dialect, Setting, dialects, losses
from lossproof.spec.setting import number

DEGREES = ("arcface_loss", "margin")
CONVERTED = {
    ("rows", "unit"): "each row divided by its norm",
    ("labels", "similar"): "a label of 1 means alike",
    ("labels", "sign"): "a label of 1 means alike, -1 unlike",
    ("denominator", "rows"): "the sum of the terms over the number of rows",
}


def call(setting: Setting) -> str:
    """Return our call, as Python."""
    given = {}
    for name in required_of(setting.loss):
        unit = setting.convert.get("rows") == "unit" and name in losses()[setting.loss].rows
        given[name] = f"unit({name})" if unit else name
    if "temperature" in setting.convert:
        given["logits"] = f"logits / {number(setting.convert['temperature'])}"
    if "labels" in setting.convert:
        given["dissimilar"] = {"similar": "label == 0", "sign": "label < 0"}[setting.convert["labels"]]
    return setting.python(given, "labels")


def around(setting: Setting) -> list[str]:
    """Return in words what is done around our call."""
    words = [CONVERTED[item] for item in setting.convert.items() if item in CONVERTED]
    if "times" in setting.convert:
        words.append(f"the result times {number(setting.convert['times'])}")
    return words


def ranges(match: Match) -> Iterator[str]:
    """Yield what the answers say of each number."""
    for name, value in match.numbers.items():
        low, high = match.ranges.get(name, (value, value))
        if math.isinf(high):
            yield f"{name}: no answer depends on it"
        elif high - low > max(1e-6 * abs(value), 1e-13 * (value == 0)):
            yield f"{name} = {number(value)}; anything from {low:.6g} to {high:.6g} gives the same answers"
        elif (match.candidate.loss, name) == DEGREES and abs(
            math.degrees(value) * 10 - round(math.degrees(value) * 10)
        ) < 1e-5:
            yield f"{name} = {number(value)} is {math.degrees(value):.6g} degrees"


def apart(match: Match) -> str:
    """Return in what a candidate is no function of the page, with its numbers that no page has; or nothing."""
    page = losses()[match.candidate.loss].parameters
    own = [number(v) for n, v in match.numbers.items() if n not in page and n not in ("times", "temperature")]
    return match.candidate.departs + (f" ({', '.join(own)})" if own else "")


def _round(value: float) -> bool:
    return abs(value - round(value, 1)) < 1e-6


def same_as(setting: Setting) -> list[Dialect]:
    """Return the public calls that are this setting, with its numbers as options of their own."""
    return [dialect for dialect in dialects() if dialect.loss == setting.loss and _is(dialect, setting)]


def _is(dialect: Dialect, setting: Setting) -> bool:
    own = dialect.setting()
    page = losses()[setting.loss].parameters
    free = {option if isinstance(option, str) else option["option"] for option in dialect.options.values()}
    wanted = {n: e.get("default") for n, e in page.items()} | dict(setting.options)
    has = {n: e.get("default") for n, e in page.items()} | dict(own.options)
    fits = all(has[n] == wanted[n] or n in free for n in page if _matters(n, wanted, has))
    return fits and _conversions(own.convert) == _conversions(setting.convert) and own.departs == setting.departs


def _matters(name: str, wanted: Mapping[str, Any], has: Mapping[str, Any]) -> bool:
    norm = wanted.get("distance") == "p_norm" and has.get("distance") == "p_norm"
    if name in ("p", "eps", "eps_at"):
        return norm and not (name == "eps_at" and wanted.get("eps") == 0)
    return name not in ("pairwise", "max_positives", "floor", "ceiling")


def _conversions(convert: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in convert.items() if name != "denominator"}


def departure(found: Departure) -> str:
    """Return where the function does otherwise than a clause, in one sentence."""
    return f"{found.clause}, where {found.where}: {found.what} is {_cut(found.got)}, the page's {_cut(found.want)}"


def fixed(match: Match, accepts: Sequence[str]) -> list[str]:
    """Return what `certify` is told of the options that the function has no parameter for, NAME=VALUE."""
    options = match.candidate.setting(match.numbers).options
    return [f"{name}={value}" for name, value in options.items() if name not in accepts]


def _cut(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 90 else text[:90] + "…"
