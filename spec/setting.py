"""A setting of a page: which function something is, what is done around it, and our call as a line of Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lossproof.spec.page import losses


@dataclass(frozen=True)
class Setting:
    """Which function of a page something is.

    Args:
        loss: the loss of a page.
        options: its options that are not the page's defaults.
        convert: what is done around the call: `rows` ("unit", "distances"), `labels` ("similar", "sign"), `table`
            ("columns"), `denominator` ("rows"), `temperature` (of logits), `times` (a number). The schema of the
            dialects says what each means.
        departs: in what it is no function of the page, as the schema lists it; empty where it is one.
    """

    loss: str
    options: Mapping[str, Any] = field(default_factory=dict)
    convert: Mapping[str, Any] = field(default_factory=dict)
    departs: str = ""

    @property
    def over_rows(self) -> bool:
        """Whether a sum over the number of rows stands in the place of a mean of the page."""
        mean = self.options.get("reduction", "mean") in ("mean", "mean_nonzero")
        return self.convert.get("denominator") == "rows" and mean

    @property
    def keywords(self) -> dict[str, Any]:
        """The keyword arguments of our call."""
        return dict(self.options) | ({"reduction": "sum"} if self.over_rows else {})

    def python(self, arrays: Mapping[str, str], rows: str) -> str:
        """Return our call as a line of Python.

        Args:
            arrays: the text of each array that is given, by its name on the page.
            rows: the text of an array with as many rows as the batch.
        """
        page = losses()[self.loss].inputs
        given = [f"{n}={arrays[n]}" if e.get("optional") else arrays[n] for n, e in page.items() if n in arrays]
        options = [f"{name}={number(value)}" for name, value in self.keywords.items()]
        text = f"{self.loss}({', '.join((*given, *options))})" + f" / len({rows})" * self.over_rows
        return f"{number(self.convert['times'])} * {text}" if "times" in self.convert else text


def number(value: Any) -> str:
    """Return the value of an option as it is typed: float("inf"), and 1 / 30 where that is meant."""
    if not isinstance(value, float) or value == 0 or math.isnan(value):
        return repr(value)
    if math.isinf(value):
        return f'float("{value}")'
    inverse = f"{1 / value:.6g}"
    short = float(f"{value:g}") == value or len(repr(value)) < 9
    meant = not short and len(inverse) < 7 and math.isclose(1 / float(inverse), value, rel_tol=1e-15)
    return f"1 / {inverse}" if meant else repr(value)
