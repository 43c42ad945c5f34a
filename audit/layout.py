"""What the skeletons of a new loss ask of its page: names, types, defaults, checks and sentences of the signature."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from lossproof.conformance.plan.cases.error_options import bounds
from lossproof.spec import Page
from lossproof.spec.arguments import REDUCTIONS

TYPES = {"real": "float", "integer": "int", "bool": "bool", "choice": "str"}
MEANS = {"mean": "over rows that take part", "mean_nonzero": "over those of them that are positive"}
DEFAULTED = "an option that is not given has its default"


@dataclass(frozen=True)
class Option:
    """An option of the signature."""

    name: str
    entry: Mapping[str, Any]

    @property
    def type(self) -> str:
        """Return the type of a number or word on the host."""
        return TYPES[self.entry["kind"]]

    @property
    def traced(self) -> bool:
        """Whether an array of the framework may stand for it."""
        return bool(self.entry.get("traceable"))

    @property
    def default(self) -> str:
        """Return the default as it stands in a call."""
        return literal(self.entry["default"])

    @property
    def says(self) -> str:
        """Return what a docstring says of it."""
        if self.entry["kind"] == "choice":
            words = [f'"{word}"' + (f" ({MEANS[word]})" if word in MEANS else "") for word in self.entry["choices"]]
            return f"{', '.join(words[:-1])} or {words[-1]}"
        return f"TODO, {self.entry['range']}" if "range" in self.entry else "TODO"

    @property
    def check(self) -> tuple[str, str]:
        """Return the name of its check in `spec/arguments.py`, and what the check is given."""
        kind = self.entry["kind"]
        if kind == "choice":
            words = tuple(self.entry["choices"])
            known = f"REDUCTIONS[:{len(words)}]" if words == REDUCTIONS[: len(words)] else literal(words)
            return "check_choice", f'"{self.name}", {self.name}, {known}'
        limits = self._limits() if kind == "real" else ""
        return f"check_{kind}", f'"{self.name}", {self.name}{limits}'

    def _limits(self) -> str:
        low, high, closed, with_high = bounds(self.entry)
        above = "" if closed else ", above=True"
        return f", {low:g}" + (f", high={high!r}" if high < inf else ", finite=False" if with_high else "") + above


@dataclass(frozen=True)
class Layout:
    """A loss of a batch, as its page has it."""

    page: Page

    @property
    def name(self) -> str:
        """Return the name of the page, and of the modules."""
        return self.page.name

    @property
    def loss(self) -> str:
        """Return the name of the function."""
        return str(self.page.front["loss"])

    @property
    def title(self) -> str:
        """Return the title of the page: CosFace loss."""
        return self.page.text.splitlines()[0].removeprefix("# ")

    @property
    def cls(self) -> str:
        """Return the name of the class, as the title writes it where that is the name of the function."""
        of_title = "".join(word[:1].upper() + word[1:] for word in re.split(r"\W+", self.title))
        same = of_title.lower() == self.loss.replace("_", "")
        return of_title if same else "".join(word.capitalize() for word in self.loss.split("_"))

    @property
    def short(self) -> str:
        """Return the name of the class without its end: CosFace."""
        return self.cls.removesuffix("Loss")

    @property
    def clauses(self) -> list[str]:
        """Return the ids of the clauses."""
        return list(self.page.clauses)

    @property
    def todo(self) -> list[str]:
        """Return each clause with the beginning of its title."""
        return [f"{clause.id}: {clause.title}"[:100] for clause in self.page.clauses.values()]

    @property
    def range(self) -> str:
        """Return the range of the clauses: CF-1 to CF-10."""
        return f"{self.clauses[0]} to {self.clauses[-1]}"

    @property
    def inputs(self) -> dict[str, str]:
        """Return what a docstring says of each array that must be given."""
        needed = {name: entry for name, entry in self.page.inputs.items() if not entry.get("optional")}
        return {name: said(entry, name in self.page.tables) for name, entry in needed.items()}

    @property
    def options(self) -> list[Option]:
        """Return the options, the reduction last."""
        found = [Option(name, entry) for name, entry in self.page.parameters.items()]
        return sorted(found, key=lambda option: option.name == "reduction")

    @property
    def traced(self) -> bool:
        """Whether an array of the framework may stand for any option."""
        return any(option.traced for option in self.options)

    def used(self, traced: bool) -> list[str]:
        """Return the names of `spec/arguments.py` that the checks take; of traced numbers a backend has its own."""
        own = [option.check for option in self.options if not (traced and option.traced)]
        return sorted({"REDUCTIONS" for _, given in own if "REDUCTIONS" in given}) + sorted({check for check, _ in own})

    def leaves(self, traced: bool) -> str:
        """Return the options of a pytree that are leaves, or those that are static, as the inside of a tuple."""
        names = [f"self.{option.name}" for option in self.options if option.traced == traced]
        return ", ".join(names) + ("," if len(names) == 1 else "")

    def rebuilt(self) -> Iterator[tuple[str, str]]:
        """Yield the options of a pytree, each with its place in `leaves` or `static`."""
        for kind, place in ((True, "leaves"), (False, "static")):
            yield from ((o.name, f"{place}[{i}]") for i, o in enumerate(o for o in self.options if o.traced == kind))

    def axes(self, name: str) -> str:
        """Return the lengths of an array, in the words of `build`."""
        lengths = {"B": 'structure["shape"][0]', "D": 'structure["shape"][1]'}
        return ", ".join(lengths.get(axis, "classes") for axis in self.page.inputs[name]["shape"].split())

    @property
    def tables(self) -> list[str]:
        """Return the arrays beside the rows of the batch."""
        return list(self.page.tables)

    @property
    def defaulted(self) -> str:
        """Return the clause of the defaults, or nothing."""
        return next((clause.id for clause in self.page.clauses.values() if clause.title == DEFAULTED), "")

    @property
    def formula(self) -> dict[str, str]:
        """Return the first clause of each part."""
        firsts = {clause.kind: clause.id for clause in reversed(list(self.page.clauses.values()))}
        return {part: firsts.get(part, self.clauses[0]) for part in ("value", "gradient")}

    @property
    def source(self) -> str:
        """Return the first source as docstrings cite it: Wang et al. (2018), eq. 4."""
        for text in self.page.front.get("references", {}).values():
            if found := re.match(r"([^,&(]+?)(,| &| \().*?\(?(\d{4})\)", text):
                place = re.search(r"(eq\.|section) [^,]*$", text)
                return f"{found[1]} et al. ({found[3]})" + (f", {place[0]}" if place else "")
        return "TODO"

    @property
    def row(self) -> str:
        """Return the row of docs/sources.md, less its number."""
        options = [f"{o.name}={o.default}" for o in self.options if o.name != "reduction"]
        return f"{self.title.removesuffix(' loss')} | `{self.loss}(..., {', '.join(options)})`"

    def space(self) -> Iterator[tuple[str, str]]:
        """Yield the fields of the options with their choices, the default first."""
        for option in self.options:
            default, words = option.entry["default"], option.entry.get("choices", (True, False))
            if option.name == "reduction":
                yield option.name, literal(tuple(words))
            elif option.entry["kind"] in ("choice", "bool"):
                yield option.name, literal((default, *(word for word in words if word != default)))
            else:
                yield option.name, f"({option.default},)"


def literal(value: Any) -> str:
    """Return a value as the formatter writes it."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if value == inf:
        return "inf"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def said(entry: Mapping[str, Any], table: bool) -> str:
    """Return what a docstring says of an array."""
    shape = entry["shape"].replace(" ", ", ") + ("," if " " not in entry["shape"] else "")
    if entry["kind"] == "label":
        return f"integers of shape ({shape})" + (f" in {entry['range']}" if "range" in entry else "")
    return f"rows of shape ({shape}); " + ("same dtype or a wider one" if table else "TODO")


def refuse(page: Page) -> None:
    """Raise ValueError, with a sentence, for a page that the skeletons do not know."""
    missing = [key for key in ("loss", "inputs", "parameters", "accuracy") if key not in page.front]
    if missing or not page.clauses:
        raise ValueError(f"spec/{page.name}.md has no {missing[0] if missing else 'clause'}")
    first = next(iter(page.inputs.values()))
    if len(first["shape"].split()) != 2 or "..." in first["shape"] or "labels" not in page.inputs:
        raise ValueError(
            f"spec/{page.name}.md is no loss of rows (B, D) with labels: copy the files of the nearest loss"
        )
    for name, entry in page.parameters.items():
        if entry["kind"] not in TYPES or "default" not in entry:
            raise ValueError(f"spec/{page.name}.md: {name} has no default, or a kind that no skeleton has")
