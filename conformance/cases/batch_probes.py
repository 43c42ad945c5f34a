"""The probes that every loss of a batch brings: what is refused, and labels of another integer type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lossproof.conformance.verdict import Probe


def errors(loss: str, *, reduction: bool = True, rows: str = "embeddings") -> Iterator[Probe]:
    """Yield the wrong calls of every loss of a batch; `rows` is the name of its rows. `legal` has three rows of two."""

    def error(clause: str, label: str, **options: Any) -> Probe:
        return Probe(loss, "errors", clause, label, options=options)

    yield error("CV-31", "labels (B, 1)", inputs={"labels": [[0], [1], [0]]})
    yield error("CV-31", "one-hot labels", inputs={"labels": [[1, 0], [0, 1], [1, 0]]})
    yield error("CV-31", "float labels", inputs={"labels": [0.0, 1.0, 0.0]}, dtypes={"labels": "float32"})
    yield error("CV-31", "boolean labels", inputs={"labels": [False, True, False]}, dtypes={"labels": "bool"})
    yield error("CV-31", "too few labels", inputs={"labels": [0, 1]})
    yield error("CV-31", "one label for all", inputs={"labels": [0]})
    yield error("CV-34", "one axis", inputs={rows: [1.0, 2.0, 3.0]})
    yield error("CV-34", "three axes", inputs={rows: [[[1.0, 2.0]], [[0.5, 1.0]], [[0.0, 3.0]]]})
    yield error("CV-25", "no features", inputs={rows: [[], [], []]})
    yield error("CV-26", "integer rows", inputs={rows: [[1, 2], [0, -1], [3, 1]]}, dtypes={rows: "int64"})
    yield error("CV-29", "mask of numbers", inputs={"mask": [1.0, 0.0, 1.0]}, dtypes={"mask": "float32"})
    yield error("CV-29", "mask of integers", inputs={"mask": [1, 0, 1]}, dtypes={"mask": "int64"})
    yield error("CV-29", "mask of bytes", inputs={"mask": [1, 0, 1]}, dtypes={"mask": "uint8"})
    yield error("CV-30", "mask (B, 1)", inputs={"mask": [[True], [False], [True]]})
    yield error("CV-30", "mask of one row", inputs={"mask": [True]})
    if reduction:
        yield error("CV-27", "unknown reduction", parameters={"reduction": "average"})


def numbers(loss: str, *cases: tuple[str, float]) -> Iterator[Probe]:
    """Yield a call for each number that is outside its range."""
    for name, value in cases:
        yield Probe(loss, "errors", "CV-28", f"{name} {value:g}", options={"parameters": {name: value}})
