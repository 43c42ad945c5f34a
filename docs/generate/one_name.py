"""One name, many functions: what formulas, and the libraries themselves, say of one batch."""

from __future__ import annotations

import json
import runpy
from typing import Any

from docs.generate.places import ROOT
from docs.generate.templates import rendered

SCRIPTS = {
    "one_name": {
        "title": "One name, many functions: semi-hard",
        "name": "Semi-hard triplet loss",
        "batch": "nine rows of unit length with three labels",
        "meaning": (
            "The spec's own meaning is [SH-1](#sh-1), with the distance as an option:"
            " [`squared_euclidean`](#di-7) by default, `euclidean` as in TensorFlow Addons."
        ),
    },
    "one_name_hard": {
        "title": "One name, many functions: batch-hard",
        "name": "Batch-hard triplet loss",
        "batch": "nine rows of unit length, two of which are alone with their label",
        "meaning": (
            "The spec's own meaning is [BH-1](#bh-1); what its mean divides by says [BH-2](#bh-2), and"
            " `include_self=True` gives an anchor without a positive itself, at distance 0."
        ),
    },
}
MEASURED = ROOT / "docs" / "measured"
EXAMPLES = ROOT / "examples"


def page(key: str) -> str:
    """Return the page of one name."""
    script = runpy.run_path(str(EXAMPLES / f"{key}.py"))
    formulas = {name: formula() for name, formula in script["FORMULAS"].items()}
    libraries = json.loads((MEASURED / f"{key}.json").read_text(encoding="utf-8"))
    values = sorted({round(value, 5) for value in formulas.values()})
    rows: list[dict[str, Any]] = [
        {
            "value": value,
            "width": round(100 * value / values[-1]),
            "formulas": [name for name, own in formulas.items() if round(own, 5) == value],
            "calls": [(name, said) for name, said in libraries.items() if abs(said["value"] - value) < 1e-5],
        }
        for value in values
    ]
    known = {name for row in rows for name, _ in row["calls"]}
    return rendered(
        "one_name.md",
        rows=rows,
        apart=[name for name in libraries if name not in known],
        calls=len(libraries),
        libraries=len({name.split()[0] for name in libraries}),
        margin=script["MARGIN"],
        count=len(values),
        key=key,
        **SCRIPTS[key],
    )
