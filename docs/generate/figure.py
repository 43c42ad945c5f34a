"""The interactive figure as one script, and links to a case in it.

A browser loads no module from a file (its origin is none, and modules ask for one), and the site has to work without
a server. So the modules of the figure and of the port are joined in a classic script: each becomes a function that is
called once, in the order of imports, and leaves its exports in `modules`. The port is also shipped as it is, for
whoever imports it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from docs.generate.places import ROOT, SPEC
from lossproof.spec import Page, losses, page_names
from lossproof.spec import page as spec_page

HOME, PORT = ROOT / "docs" / "figure", ROOT / "examples" / "ports" / "javascript"
MOST = 64  # rows of an array, as in address.mjs
BUILT = "_figure"  # the folder of the sources of the site whose files are static
_FROM = re.compile(r"^(import|export) (\{[^}]*\}) from '(\.[^']+)';$", re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|const) (\[[^\]]*\]|\w+)", re.MULTILINE)
_START = "document.querySelectorAll('.live-figure').forEach((root) => modules[{main}].start(root, {homes}));"


def script(main: Path) -> str:
    """Return a module and all that it imports as one classic script that leaves them in `modules`."""
    made: dict[Path, str] = {}

    def visit(path: Path, above: tuple[Path, ...] = ()) -> None:
        if path in above:
            raise ValueError(f"{path.relative_to(ROOT)} imports itself through others; expected no circle")
        if path in made:
            return
        text = path.read_text(encoding="utf-8")
        for _, _, target in _FROM.findall(text):
            visit((path.parent / target).resolve(), (*above, path))
        made[path] = _called(path, text)

    visit(main.resolve())
    return "\n".join(made.values())


def _key(path: Path) -> str:
    return json.dumps(path.relative_to(ROOT).as_posix())


def _called(path: Path, text: str) -> str:
    exported: list[str] = []

    def names(found: str) -> None:
        exported.extend(re.findall(r"\w+", found))

    def bound(found: re.Match[str]) -> str:
        if found[1] == "export":
            names(found[2])
        return f"const {found[2].replace(' as ', ': ')} = modules[{_key((path.parent / found[3]).resolve())}];"

    def kept(found: re.Match[str]) -> str:
        names(found[2])
        return f"{found[1]} {found[2]}"

    body = _EXPORT.sub(kept, _FROM.sub(bound, text))
    left = re.search(r"^(?:import|export)\b.*$", body, re.MULTILINE)
    if left:
        raise ValueError(f"{path.relative_to(ROOT)}: {left[0]!r} is not joined; expected named imports and exports")
    return f"modules[{_key(path)}] = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def whole() -> str:
    """Return the script of the site: the modules, and the call that starts them where a page has the place."""
    main = HOME / "main.mjs"
    homes = {clause[:2]: name for name in page_names() for clause in spec_page(name).clauses}
    start = _START.format(main=_key(main), homes=json.dumps(homes))
    return f"(() => {{\n'use strict';\nconst modules = {{}};\n{script(main)}{start}\n}})();\n"


def address(inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Return the fragment that opens a case in the figure of its loss, as docs/figure/address.mjs reads it.

    The rows are those of arrays of one or two features, as nested lists; options are in the words of the page.
    """

    def word(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value).replace("Infinity", "inf")

    def array(item: Any) -> str:
        if item and isinstance(item[0], list):
            return "/".join(map(array, item))
        return ",".join(word(int(x) if isinstance(x, bool) else x) for x in item)

    given = [(name, array(item)) for name, item in inputs.items()] + [(n, word(v)) for n, v in options.items()]
    return "#figure=v1;" + ";".join(f"{name}={text}" for name, text in given)


def link(loss: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Return the address of a case on the site, from its root."""
    return f"{SPEC}/{losses()[loss].name}.html{address(inputs, options)}"


def shows(loss: str, inputs: Mapping[str, Any]) -> bool:
    """Return whether the figure of a loss draws a case: rows of one or two features, with nothing but a mask beside."""
    rules = losses()[loss].inputs
    if "logits" in rules or not inputs or any(name == "weights" or name.startswith("candidate") for name in inputs):
        return False
    arrays = [np.asarray(item) for item in inputs.values()]
    if not all(array.size and array.dtype.kind in "biuf" and np.isfinite(array).all() for array in arrays):
        return False
    return all(len(array) <= MOST and (array.ndim == 1 or array.shape[1:] in ((1,), (2,))) for array in arrays)


def words(own: Page) -> str:
    """Return the sentence that stands in the place of the figure where no script puts one there."""
    if "logits" in own.inputs:
        return "This loss has no figure to move: logits are no rows of a plane."
    return "With JavaScript, rows can be moved here, and the loss, its terms and its gradient follow."


def write(source: Path, _: Path) -> None:
    """Write the script, its style, and the port as it is."""
    built = source / BUILT
    built.mkdir(parents=True)
    (built / "figure.js").write_text(whole(), encoding="utf-8")
    shutil.copy(HOME / "figure.css", built)
    for module in PORT.rglob("*.mjs"):
        copy = built / "javascript" / module.relative_to(PORT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, copy)
