"""The signature of a page of the spec as tables: arrays, options, functions that are no losses, sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.links import clause_link
from lossproof.spec import Page


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines] + [""]


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _shape(entry: Mapping[str, Any]) -> str:
    return f"`({', '.join(entry['shape'].split())})`"


def _arrays(inputs: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, entry in inputs.items():
        notes = ["optional"] if entry.get("optional") else []
        notes += ["has a gradient"] if entry.get("differentiable") else []
        notes += [f"in `{entry['range']}`"] if "range" in entry else []
        notes += [clause_link(entry["clause"])] if "clause" in entry else []
        rows.append([f"`{name}`", _shape(entry), entry["kind"], ", ".join(notes)])
    return _table(["array", "shape", "kind", "notes"], rows)


def _options(parameters: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, entry in parameters.items():
        default = (
            _value(entry["default"]) if "default" in entry else "none" if entry.get("optional") else "must be given"
        )
        range_ = _value(entry["choices"]) if "choices" in entry else f"`{entry['range']}`" if "range" in entry else ""
        notes = [f"with `{entry['applies_to']}`"] if "applies_to" in entry else []
        notes += [f"or the value of `{entry['or']}`"] if "or" in entry else []
        notes += [clause_link(entry["clause"])] if "clause" in entry else []
        rows.append([f"`{name}`", entry["kind"], default, range_, ", ".join(notes)])
    return _table(["option", "kind", "default", "range or choices", "notes"], rows)


def signature(page: Page) -> Iterator[str]:
    """Yield the lines that stand under the heading "Signature"."""
    if "loss" in page.front:
        yield f"`{page.front['loss']}`; a term belongs to a {page.front['unit']}."
        yield ""
        yield from _arrays(page.inputs)
        yield from _options(page.parameters)
    for name, entry in page.functions.items():
        yield from [f"**`{name}`**" + (" draws at random" if entry.get("random") else ""), ""]
        yield from _arrays(entry["inputs"])
        yield from _options(entry["parameters"]) if "parameters" in entry else ()
        if "returns" in entry:
            rows = [[f"`{n}`", _shape(e), e["kind"]] for n, e in entry["returns"].items()]
            yield from _table(["returns", "shape", "kind"], rows)
    references = page.front.get("references", {})
    if references:
        yield from _table(["source", "what it is"], [[row, says] for row, says in references.items()])
