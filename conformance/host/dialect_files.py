"""Files of dialects, against their schema and the pages: the first fault of each is one line with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from lossproof.conformance.host.options import expectation
from lossproof.conformance.host.words import cut, meant
from lossproof.spec import clauses, dialect_schema, losses
from lossproof.spec.dialect import Dialect, read


class DialectError(Exception):
    """A file of dialects that cannot be used; the message is one line."""


def checked(path: Path) -> tuple[Dialect, ...]:
    """Return the dialects of a file.

    Raises:
        DialectError: the file cannot be read, or says what the schema or the pages do not know.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DialectError(f"{path}: {problem}") from problem
    for place, fault in faults(content):
        raise DialectError(f"{path}: {place}: {fault}")
    return read(content)


def faults(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the content of a file of dialects: where, and what."""
    found = jsonschema.Draft202012Validator(dialect_schema()).iter_errors(content)
    for error in sorted(found, key=lambda error: list(map(str, error.absolute_path))):
        yield error.json_path.removeprefix("$.").removeprefix("$") or "file", cut(error.message, 200)
        return
    names = [call["name"] for call in content["calls"]]
    for number, call in enumerate(content["calls"]):
        place = f"calls[{number}]"
        if names.count(call["name"]) > 1:
            yield f"{place}.name", f"{call['name']!r} stands there twice"
        if call["loss"] not in losses():
            yield f"{place}.loss", f"{call['loss']!r} is no loss of the spec{meant(call['loss'], losses())}"
            continue
        for where, fault in _of_call(call):
            yield f"{place}.{where}", fault


def _of_call(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    page = losses()[call["loss"]]
    for own, name in call.get("arguments", {}).items():
        yield from _unknown(f"arguments.{own}", name, page.inputs)
    for own, known in call.get("options", {}).items():
        yield from _unknown(f"options.{own}", known if isinstance(known, str) else known["option"], page.parameters)
    yield from _unfit("fixed", call.get("fixed", {}), page.parameters)
    for own, words in call.get("values", {}).items():
        for word, meaning in words.items():
            yield from _unfit(f"values.{own}.{word}.fixed", meaning.get("fixed", {}), page.parameters)
    for option, values in call.get("limits", {}).items():
        for value in values if option != "dtype" else ():
            yield from _unfit("limits", {option: value}, page.parameters)
    own_options = {*call.get("options", {}), *call.get("values", {})}
    for own, value in call.get("defaults", {}).items():
        yield from _unknown(f"defaults.{own}", own, own_options)
        if own not in own_options:
            continue
        word = str(value).lower() if isinstance(value, bool) else str(value)
        if own not in call.get("options", {}) and word not in call.get("values", {}).get(own, {}):
            yield f"defaults.{own}", f"values says nothing of {value!r}"
    for entry in call.get("differs", ()):
        if entry.get("clause"):
            yield from _unknown("differs", entry["clause"], clauses())
    arrays = {*call.get("arguments", {}), *page.inputs, "own"}
    for name in re.findall(r"\{(\w+)\}", call.get("python", "")):
        yield from _unknown("python", name, arrays)


def _unknown(place: str, name: str, known: Any) -> Iterator[tuple[str, str]]:
    if name not in known:
        yield place, f"{name!r} is unknown; there are {', '.join(sorted(known))}{meant(name, known)}"


def _unfit(place: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if name not in known:
            yield from _unknown(place, name, known)
        elif wanted := expectation(known[name], value):
            yield f"{place}.{name}", f"must be {wanted}, got {value!r}"
