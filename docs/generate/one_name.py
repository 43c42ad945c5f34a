"""One name, many functions: what formulas, and the libraries themselves, say of one batch."""

from __future__ import annotations

import json
import runpy

from docs.generate.places import ROOT
from docs.generate.templates import rendered

MEASURED = ROOT / "docs" / "measured" / "one_name.json"
SCRIPT = ROOT / "examples" / "one_name.py"


def page() -> str:
    """Return the page."""
    script = runpy.run_path(str(SCRIPT))
    formulas = {name: formula() for name, formula in script["FORMULAS"].items()}
    libraries = json.loads(MEASURED.read_text(encoding="utf-8"))
    values = sorted({round(value, 5) for value in formulas.values()})
    rows = [
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
    )
