"""Load a spec page: its signature, its clauses, and their worked examples.

The base install has numpy and nothing else, so a page is read with the standard library: headings that carry a clause
id, and fenced `toml` blocks, of which the one under the heading "Signature" is the signature.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

_CLAUSE = re.compile(
    r"^### (?P<id>[A-Z]+-\d+) · (?P<level>MUST|CHOICE|SHOULD) · (?P<kind>value|gradient|interface) · (?P<title>.+)$",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,3} ", re.MULTILINE)
_TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SIGNATURE = re.compile(r"^## Signature\n\n```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r"^Version (\d+\.\d+)$", re.MULTILINE)
_INDEX = "README"  # the page that lists the others
_EXAMPLE_KEYS = {
    "loss", "function", "parameters", "value", "gradient", "result", "exact", "raises", "source", "split", "shares",
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A worked example: a call, and what it returns.

    A call of a loss has `value` and `gradient`, the derivative of the sum of the value. A call of another function of a
    page has `function` in place of `loss`, and `result`: its one array, or the list of its arrays. `exact` says that
    every number is a dyadic rational that all four dtypes hold, so the comparison is bit for bit. A call over processes
    has `split`, the number of rows of each, and `shares`, what each returns (spec/distributed.md).
    """

    clause: str
    index: int
    loss: str
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any]
    value: Any
    gradient: Mapping[str, Any]
    exact: bool
    raises: bool
    source: str | None
    function: str | None = None
    result: Any = None
    split: tuple[int, ...] = ()
    shares: Any = None


@dataclass(frozen=True)
class Clause:
    """One testable statement. Its id is permanent and never used again for anything else."""

    id: str
    level: str
    kind: str
    title: str
    text: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Page:
    """One page of the spec: its signature as `front`, and its clauses by id."""

    name: str
    text: str
    front: Mapping[str, Any] = field(repr=False)
    clauses: Mapping[str, Clause] = field(repr=False)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Array arguments, in the order of the call."""
        return dict(self.front.get("inputs", {}))

    @property
    def aligned(self) -> tuple[str, ...]:
        """Array arguments that have one row, or one entry, for each entry of the mask."""
        return self.aligned_to("mask")

    def aligned_to(self, mask: str) -> tuple[str, ...]:
        """Array arguments that have one row, or one entry, for each entry of a mask."""
        axes = self.inputs[mask]["shape"].split() if mask in self.inputs else []
        return tuple(n for n, entry in self.inputs.items() if axes and entry["shape"].split()[: len(axes)] == axes)

    @property
    def rows(self) -> tuple[str, ...]:
        """Float arrays with a row of features for each entry of the mask."""
        return tuple(name for name in self.aligned if self.inputs[name]["kind"] == "float")

    @property
    def differentiable(self) -> tuple[str, ...]:
        """Array arguments of every call that have a gradient."""
        given = {name: entry for name, entry in self.inputs.items() if not entry.get("optional")}
        return tuple(name for name, entry in given.items() if entry.get("differentiable"))

    @property
    def weights(self) -> tuple[str, ...]:
        """Float arrays that weigh units, or classes: they decide no dtype of the arithmetic (CV-45)."""
        return tuple(name for name, entry in self.inputs.items() if entry["kind"] == "weight")

    @property
    def tables(self) -> tuple[str, ...]:
        """Float arrays that may be wider than the embeddings, or than the logits where there are none: CV-26."""
        floats = [name for name, entry in self.inputs.items() if entry["kind"] == "float"]
        rows = next((name for name in ("embeddings", "logits") if name in floats), None)
        return tuple(name for name in floats if rows and name != rows)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Keyword options, with default, choices or range."""
        return dict(self.front.get("parameters", {}))

    @property
    def functions(self) -> Mapping[str, Any]:
        """Functions that are no losses, by name: the `inputs`, `parameters` and `returns` of each."""
        return dict(self.front.get("functions", {}))


def _example(clause: str, index: int, block: str, default_loss: str) -> Example:
    entry = tomllib.loads(block)
    return Example(
        clause=clause,
        index=index,
        loss="" if "function" in entry else entry.get("loss", default_loss),
        inputs={name: value for name, value in entry.items() if name not in _EXAMPLE_KEYS},
        parameters=entry.get("parameters", {}),
        value=entry.get("value"),
        gradient=entry.get("gradient", {}),
        exact=entry.get("exact", False),
        raises=entry.get("raises", False),
        source=entry.get("source"),
        function=entry.get("function"),
        result=entry.get("result"),
        split=tuple(entry.get("split", ())),
        shares=entry.get("shares"),
    )


@cache
def page(name: str) -> Page:
    """Return the page `name`, for instance "triplet_margin"; KeyError names the pages there are."""
    if name not in page_names():
        raise KeyError(f"no page {name!r}; the spec has {', '.join(page_names())}")
    return parsed(name, (files("lossproof.spec") / f"{name}.md").read_text(encoding="utf-8"))


def parsed(name: str, text: str) -> Page:
    """Return the page of this text."""
    signature = _SIGNATURE.search(text)
    front = tomllib.loads(signature[1]) if signature else {}
    clauses: dict[str, Clause] = {}
    for match in _CLAUSE.finditer(text):
        following = _HEADING.search(text, match.end())
        content = text[match.end() : following.start() if following else len(text)].strip()
        key = match["id"]
        if key in clauses:
            raise ValueError(f"clause {key} stands twice on page {name}")
        blocks = enumerate(_TOML.findall(content))
        examples = tuple(_example(key, i, block, front.get("loss", "")) for i, block in blocks)
        clauses[key] = Clause(key, match["level"], match["kind"], match["title"], content, examples)
    return Page(name=name, text=text, front=front, clauses=clauses)


@cache
def page_names() -> tuple[str, ...]:
    """Names of all pages, the two general ones first."""
    names = sorted(p.name.removesuffix(".md") for p in files("lossproof.spec").iterdir() if p.name.endswith(".md"))
    general = ["conventions", "distances"]
    return (*general, *(n for n in names if n not in (*general, _INDEX)))


@cache
def spec_version() -> str:
    """Return the version of the spec, as its index states it."""
    found = _VERSION.search((files("lossproof.spec") / f"{_INDEX}.md").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError("spec/README.md states no version")
    return found[1]


@cache
def losses() -> Mapping[str, Page]:
    """Pages that specify a loss, by the name of its function."""
    return {p.front["loss"]: p for p in map(page, page_names()) if "loss" in p.front}


@cache
def functions() -> Mapping[str, Mapping[str, Any]]:
    """Functions that are no losses and draw nothing at random, by name: what their signature says."""
    every = {name: entry for key in page_names() for name, entry in page(key).functions.items()}
    return {name: entry for name, entry in every.items() if not entry.get("random")}


@cache
def clauses() -> Mapping[str, Clause]:
    """Every clause of every page, by id."""
    return {key: clause for name in page_names() for key, clause in page(name).clauses.items()}
