"""Dialects: public calls of other libraries, each as a setting of a page of the spec.

A dialect is data, one TOML file a library in `dialects/`, and its schema is `dialects/schema.json`. It says what the
arguments of a public call are on the page, which options it always has, what our call needs besides to give the same
number, and where the two go on to differ.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from lossproof.spec.page import losses
from lossproof.spec.setting import Setting
from lossproof.spec.words import meant

_FOLDER = files("lossproof.spec") / "dialects"
_SHARED = ("library", "module", "versions", "framework", "source", "imports")


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
    module: str = ""
    imports: str = ""
    python: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
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
            if (meaning := self.meaning(name, value)) is not None:
                options |= meaning.get("fixed", {})
                convert |= meaning.get("convert", {})
                departs = meaning.get("departs", departs)
            elif name in self.options:
                option, times = self.scaled(name)
                options[option] = value if times is None else value * times
            elif name in self.values:
                words = ", ".join(self.values[name])
                raise ValueError(f"{name} of {self.name} must be one of {words}, got {value!r}")
            else:
                has = tuple(dict.fromkeys((*self.options, *self.values)))
                known = ", ".join(has) or "none"
                raise TypeError(f"{self.name} has no option {name!r}; it has {known}{meant(name, has)}")
        page = losses()[self.loss].parameters
        kept = {n: v for n, v in options.items() if v != page[n].get("default")}
        return Setting(self.loss, kept, convert, departs)

    def scaled(self, name: str) -> tuple[str, float | None]:
        """Return the page's option that an own option is, and what it is multiplied by, if it is."""
        known = self.options[name]
        return (known, None) if isinstance(known, str) else (known["option"], known["times"])

    def meaning(self, name: str, value: Any) -> Mapping[str, Any] | None:
        """Return what the dialect says of one value of an own option, if it says anything of this one."""
        word = str(value).lower() if isinstance(value, bool) else str(value)
        found: Mapping[str, Any] | None = self.values.get(name, {}).get(word)
        return found

    def text(self, **given: Any) -> str:
        """Return the library's own call as Python, with options of its own and its arrays by their names."""
        return self.filled(", ".join(f"{name}={code(value)}" for name, value in given.items()))

    def filled(self, own: str, arrays: Mapping[str, str] = MappingProxyType({})) -> str:
        """Return the library's own call with the text of its options, and that of some arrays, put in."""
        texts = {"own": own, **arrays}
        whole = re.sub(r"\{(\w+)\}", lambda found: texts.get(found[1], found[1]), self.python)
        return re.sub(r"(?<=\(), |, (?=\))", "", whole)


def value_of(word: str) -> Any:
    """Return the value that a word of `values` stands for: a number, true, false, or the word."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def code(value: Any) -> str:
    """Return the value of an own option as Python: a word with a dot or a bracket is an expression, others a text."""
    expression = isinstance(value, str) and ("." in value or "(" in value or value == "None")
    return str(value) if expression else repr(value)


@cache
def dialects() -> tuple[Dialect, ...]:
    """Return every public call that the spec knows, library by library."""
    found: list[Dialect] = []
    for path in sorted(_FOLDER.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".toml"):
            found += read(tomllib.loads(path.read_text(encoding="utf-8")))
    return tuple(found)


def read(content: Mapping[str, Any]) -> tuple[Dialect, ...]:
    """Return the dialects of the content of a file, which is as the schema says."""
    return tuple(_dialect(content, call) for call in content["calls"])


def _dialect(content: Mapping[str, Any], call: Mapping[str, Any]) -> Dialect:
    shared = {name: content[name] for name in _SHARED if name in content}
    differs = tuple(Difference(**entry) for entry in call.get("differs", ()))
    own = {name: value for name, value in call.items() if name != "differs"}
    return Dialect(**{**shared, **own, "tested": tuple(content.get("tested", ())), "differs": differs})


@cache
def dialect_schema() -> Any:
    """Return the JSON Schema of a file of dialects."""
    return json.loads((_FOLDER / "schema.json").read_text(encoding="utf-8"))
