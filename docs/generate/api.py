"""The reference of the three backends, side by side, from their docstrings: they are read, and nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe

from docs.generate.links import linked
from docs.generate.places import ROOT, SPEC
from docs.generate.templates import rendered
from lossproof.spec import page, page_names

FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"}
_OPTIONS = {"returns_multiple_items": False, "returns_named_value": False, "warnings": False}


@cache
def exported(framework: str) -> dict[str, str]:
    """Return the public names of a backend, each with the module that it comes from."""
    tree = ast.parse((ROOT / "backends" / framework / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: str(node.module).rpartition(".")[2] for node in imports for alias in node.names}


@cache
def module(framework: str, name: str) -> griffe.Module:
    """Return a module of a backend, as it is read."""
    path = ROOT / "backends" / framework / f"{name}.py"
    code = path.read_text(encoding="utf-8")
    return griffe.visit(f"lossproof.backends.{framework}.{name}", filepath=path, code=code)


def prose(text: str) -> str:
    """Return a piece of a docstring as Markdown."""
    return linked(dedent(text).replace("<", r"\<"))


def parts(docstring: griffe.Docstring | None) -> Iterator[dict[str, Any]]:
    """Yield the sections of a docstring: text, arguments, what is returned and raised, examples."""
    for section in docstring.parse("google", **_OPTIONS) if docstring else ():
        value = section.value
        if section.kind.value in ("parameters", "raises", "attributes"):
            items = [
                {"name": getattr(i, "name", None) or str(i.annotation), "text": prose(i.description)} for i in value
            ]
            yield {"kind": section.kind.value, "items": items}
        elif section.kind.value == "returns":
            yield {"kind": "returns", "text": " ".join(prose(item.description) for item in value)}
        elif section.kind.value == "admonition":
            yield {"kind": "example", "text": dedent(value.contents)}
        elif section.kind.value == "examples":
            yield {"kind": "example", "text": "\n".join(text for _, text in value)}
        else:
            yield {"kind": "text", "text": prose(value)}


def call(found: griffe.Function | griffe.Class) -> str:
    """Return the line of a call: names, and defaults where there are some."""
    words, named = [], False
    for parameter in found.parameters:
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not named:
            named = True
            words.append("*")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(parameter.kind.value, "")
        named = named or stars == "*"
        default = f"={parameter.default}" if parameter.default is not None and not stars else ""
        words.append(f"{stars}{parameter.name}{default}")
    name = f"{found.parent.name}.{found.name}" if found.parent and found.parent.is_class else found.name
    line = f"{name}({', '.join(words)})"
    return line if len(line) <= 80 else f"{name}(\n    " + ",\n    ".join(words) + ",\n)"


def described(found: griffe.Object) -> dict[str, Any]:
    """Return a function or a class, with the method that a class is called by."""
    methods = [found.members[name] for name in ("forward", "call", "__call__", "update") if name in found.members]
    public = [
        {"call": call(method), "parts": list(parts(method.docstring))}
        for method in methods
        if found.is_class and method.docstring
    ]
    return {"name": found.name, "call": call(found), "parts": list(parts(found.docstring)), "methods": public}


def api_page(name: str) -> str:
    """Return the reference of the modules of a page of the spec."""
    tabs = [
        {
            "key": framework,
            "name": label,
            "things": [
                described(module(framework, name).members[thing])
                for thing, home in sorted(exported(framework).items(), key=lambda item: item[0][0].isupper())
                if home == name
            ],
        }
        for framework, label in FRAMEWORKS.items()
    ]
    title = page(name).text.splitlines()[0][2:]
    return rendered("api.md", title=title, name=name, spec=SPEC, tabs=[tab for tab in tabs if tab["things"]])


def write(source: Path, files: Path) -> None:
    """Write a page for each page of the spec that has public names, and their front page."""
    folder = source / "api"
    folder.mkdir(parents=True)
    every = {home for framework in FRAMEWORKS for home in exported(framework).values()}
    names = [name for name in page_names() if name in every]
    for name in names:
        (folder / f"{name}.md").write_text(api_page(name), encoding="utf-8")
    rows = [
        (
            name,
            page(name).text.splitlines()[0][2:],
            sorted({t for f in FRAMEWORKS for t, home in exported(f).items() if home == name}, key=str.lower),
        )
        for name in names
    ]
    (folder / "index.md").write_text(rendered("api_index.md", rows=rows), encoding="utf-8")
