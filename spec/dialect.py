"""Dialects: public calls of other libraries, each as a setting of a page of the spec.

A dialect is data, one TOML file a library in `dialects/`, and its schema is `dialects/schema.json`. It says what the
arguments of a public call are on the page, which options it always has, what our call needs besides to give the same
number, and where the two go on to differ.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from lossproof.spec.page import losses

_FOLDER = files("lossproof.spec") / "dialects"


@dataclass(frozen=True)
class Setting:
    """Which function of a page something is.

    Args:
        loss: the loss of a page.
        options: its options that are not the page's defaults.
        convert: what is done around the call: `rows` ("unit", "distances"), `labels` ("similar"), `denominator`
            ("rows"), `times` (a number). The schema of the dialects says what each means.
        departs: in what it is no function of the page, as the schema lists it; empty where it is one.
    """

    loss: str
    options: Mapping[str, Any] = field(default_factory=dict)
    convert: Mapping[str, Any] = field(default_factory=dict)
    departs: str = ""


@dataclass(frozen=True)
class Difference:
    """Where a library does otherwise than a clause says, although the setting is the same."""

    says: str
    clause: str = ""
    link: str = ""


@dataclass(frozen=True)
class Dialect:
    """One public call of a library, and what it is on a page; the fields are those of the schema."""

    library: str
    name: str
    versions: str
    framework: str
    source: str
    loss: str
    tested: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    convert: Mapping[str, Any] = field(default_factory=dict)
    departs: str = ""
    differs: tuple[Difference, ...] = ()

    def setting(self, **given: Any) -> Setting:
        """Return the setting of a call with options of the library's own; those not given have its defaults.

        Raises:
            TypeError: an option that the call does not have.
            ValueError: a value that the dialect does not know.
        """
        own = {**self.defaults, **given}
        options, convert, departs = dict(self.fixed), dict(self.convert), self.departs
        for name, value in own.items():
            if name in self.options:
                known = self.options[name]
                option, times = (known, None) if isinstance(known, str) else (known["option"], known["times"])
                options[option] = value if times is None else value * times
            elif name in self.values:
                meaning = _meaning(self, name, value)
                options |= meaning.get("fixed", {})
                convert |= meaning.get("convert", {})
                departs = meaning.get("departs", departs)
            else:
                has = ", ".join((*self.options, *self.values)) or "none"
                raise TypeError(f"{self.name} of {self.library} has no option {name!r}; it has {has}")
        page = losses()[self.loss].parameters
        kept = {n: v for n, v in options.items() if v != page[n].get("default")}
        return Setting(self.loss, kept, convert, departs)


def _meaning(dialect: Dialect, name: str, value: Any) -> Mapping[str, Any]:
    known = dialect.values[name]
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if word not in known:
        raise ValueError(f"{name} of {dialect.name} must be one of {', '.join(known)}, got {value!r}")
    meaning: Mapping[str, Any] = known[word]
    return meaning


@cache
def dialects() -> tuple[Dialect, ...]:
    """Return every public call that the spec knows, library by library."""
    found = []
    for path in sorted(_FOLDER.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".toml"):
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            found += [_dialect(content, call) for call in content["calls"]]
    return tuple(found)


def _dialect(content: Mapping[str, Any], call: Mapping[str, Any]) -> Dialect:
    shared = {name: content[name] for name in ("library", "versions", "framework", "source")}
    differs = tuple(Difference(**entry) for entry in call.get("differs", ()))
    own = {name: value for name, value in call.items() if name != "differs"}
    return Dialect(**{**shared, **own, "tested": tuple(content.get("tested", ())), "differs": differs})


@cache
def dialect_schema() -> Any:
    """Return the JSON Schema of a file of dialects."""
    return json.loads((_FOLDER / "schema.json").read_text(encoding="utf-8"))
