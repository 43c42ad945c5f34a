"""Who stands side by side: a target with the options that each of its calls is given, in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.claims import pairs, read
from lossproof.conformance.host.options import parameters_of
from lossproof.conformance.host.session import Asked
from lossproof.conformance.host.targets import split
from lossproof.spec import losses

_CALL = re.compile(r"(?P<target>[^()]+)\((?P<options>[^()]*)\)")


@dataclass(frozen=True)
class Side:
    """One implementation, under the letter that tables call it by."""

    letter: str
    name: str
    session: Asked
    ours: bool
    given: Mapping[str, Any] = field(default_factory=dict)  # options that each of its calls is given

    @property
    def title(self) -> str:
        """Return the letter and the name, a file without its folder."""
        own, colon, thing = split(self.name)
        shown = f"{Path(own).name}{thing and colon}{thing}" if colon and own.endswith(".py") else self.name
        options = ", ".join(f"{name}={value}" for name, value in self.given.items())
        return f"{self.letter} {shown}" + (f"({options})" if options else "")


class InOneMode:
    """An implementation that offers the mode of general cases alone."""

    def __init__(self, session: Asked):
        self.session = session
        modes = session.hello.get("modes", ["eager"])
        self.hello = {**session.hello, "modes": ["eager"] if "eager" in modes else modes[:1]}

    def ask(self, case: Case) -> Answer:
        """Return the answer to one case."""
        return self.session.ask(case)

    def close(self) -> None:
        """End what answers."""
        self.session.close()


def split_call(text: str) -> tuple[str, str]:
    """Return a target and the options behind it: "numpy(swap=True)" is numpy, and swap=True."""
    found = _CALL.fullmatch(text)
    return (found["target"].strip(), found["options"]) if found else (text, "")


def given_options(target: str, text: str) -> dict[str, Any]:
    """Return the options behind a target; TargetError where one is no option of any page, or not of its kind."""
    options = {name: entry for loss in losses() for name, entry in parameters_of(loss).items()}
    parts = [part for part in text.split(",") if part.strip()]
    return {name: read(target, name, value.strip("'\""), options) for name, value in pairs(target, parts)}


def addressed(letter: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is said of one implementation: what has its letter before it (A.eps=0), and what has none."""
    found = [(text[0], text[2:]) if re.match(r"[A-Z]\.", text) else (letter, text) for text in texts]
    return tuple(text for whose, text in found if whose == letter)
