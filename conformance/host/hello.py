"""What an implementation says of itself, against the pages: a name that no page has is refused, and never dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from lossproof.conformance.host.arrays import FORMATS, INTEGERS
from lossproof.conformance.host.case import from_json
from lossproof.conformance.host.options import arguments_of, expectation, parameters_of, required_of
from lossproof.conformance.host.words import cut, meant
from lossproof.spec import functions, losses, page, page_names

GRADES = ("direct", "centred", "normwise")  # of distance, each less exact than the one before
EVERY_MODE = (
    "eager", "functional", "vectorised", "alone", "stacked", "traced", "forward", "graph", "unknown_batch", "reused",
    "captured", "compiled", "ambient", "strict", "strided", "ranks:2", "ranks:4",
)  # fmt: skip
FIELDS = (
    "type", "protocol", "name", "version", "framework", "framework_version", "device", "grade", "dtypes", "modes",
    "effort", "quick", "integers", "orders", "losses", "functions", "rename", "origin", "positional",
    "ranks",
)  # fmt: skip
CLAIMS = ("accepts", "fixed", "limits")


def fault(hello: Mapping[str, Any]) -> str | None:
    """Return the first thing in a hello that no page knows, in one line, or None."""
    return next(_faults(hello), None)


def _faults(hello: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown("fields of hello", hello, FIELDS)
    yield from _unknown("dtypes", hello["dtypes"], FORMATS)
    yield from _unknown("integers", hello.get("integers", ()), INTEGERS)
    yield from _unknown("modes", hello.get("modes", ()), EVERY_MODE)
    yield from _unknown("grade", [hello.get("grade", "direct")], GRADES)
    for kind, known, others in (("losses", losses(), functions()), ("functions", functions(), losses())):
        for name, entry in hello.get(kind, {}).items():
            if name in others:
                yield f"{kind}: {name!r} belongs under {'functions' if kind == 'losses' else 'losses'}"
            elif not (kind == "functions" and name in _random()):  # what draws at random is not judged
                yield from _unknown(kind, [name], known)
                yield from _of_entry(name, entry, hello["dtypes"])
    offered = [*hello["losses"], *(name for name in hello.get("functions", {}) if name in functions())]
    every = dict.fromkeys(argument for name in offered for argument in arguments_of(name))
    yield from _unknown("rename", hello.get("rename", {}).values(), every)


def _random() -> set[str]:
    """Return the functions that draw at random."""
    return {name for key in page_names() for name, entry in page(key).functions.items() if entry.get("random")}


def _of_entry(name: str, entry: Mapping[str, Any], dtypes: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with what is said of one loss or function."""
    yield from _unknown(f"{name}: fields", entry, CLAIMS)
    accepts, options = entry.get("accepts"), parameters_of(name)
    if accepts is not None:
        yield from _unknown(f"{name}: accepts", accepts, arguments_of(name))
        for key in required_of(name):
            if key not in accepts:
                yield f"{name}: accepts lacks {key!r}, which every call has"
    yield from _unknown(f"{name}: fixed", entry.get("fixed", {}), options)
    for key, value in entry.get("fixed", {}).items():
        if accepts is None or key in accepts:
            yield f"{name}: fixed has {key!r}, which a call can give: say it in limits"
        yield from _unfit(f"{name}: fixed {key}", options[key], value)
    yield from _unknown(f"{name}: limits", entry.get("limits", {}), (*options, "dtype"))
    for key, values in entry.get("limits", {}).items():
        if not values:
            yield f"{name}: limits of {key} are empty: leave {key} out of accepts"
        for value in values:
            if key == "dtype":
                yield from _unknown(f"{name}: limits of dtype", [value], FORMATS)
            else:
                yield from _unfit(f"{name}: limits of {key}", options[key], value)
    if not {"float32", "float64"} & set(dtypes) & set(entry.get("limits", {}).get("dtype", dtypes)):
        yield f"{name}: neither float32 nor float64 is offered, and one of them is needed for plain calls"


def _unknown(where: str, names: Iterable[Any], known: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{where}: {cut(repr(name), 100)} is unknown; there are {', '.join(known)}{meant(str(name), known)}"


def _unfit(where: str, entry: Mapping[str, Any], value: Any) -> Iterator[str]:
    wanted = expectation(entry, from_json(value))
    if wanted:
        near = meant(str(value), entry.get("choices", ()))
        yield f"{where}: must be {wanted}, got {cut(repr(value), 100)}{near}"
