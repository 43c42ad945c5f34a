"""What tells one clause from the others where plain calls are wrong: calls without its subject, and calls of it alone.

A wrong plain call breaks the clause of the formula, and with it nearly every clause of the page. Two experiments say
more. Where a call of *nothing but* one subject is wrong, for instance of a batch in which no term takes part, the
clause of that subject is broken, for the formula has no say there. Where wrong calls are all right *without* the
subject, for instance with unit rows where lengths are the subject, the clause is the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case


def same(case: Case) -> Case:
    """Return the case as it is."""
    return case


@dataclass(frozen=True)
class Cause:
    """One experiment: the clause it speaks of, what it changes, and which outcome names the clause.

    `alone` says that the clause is named where any call with these fields is wrong; otherwise, where calls that were
    wrong are all right with these options and the change.
    """

    clause: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Case], Case] = same
    alone: bool = False
    kind: str = "value"


def alone(clause: str, kind: str = "value", **fields: Any) -> Cause:
    """Return an experiment with calls in which nothing but the subject of the clause counts."""
    return Cause(clause, fields, alone=True, kind=kind)


def without(clause: str, change: Callable[[Case], Case] = same, kind: str = "value", **fields: Any) -> Cause:
    """Return an experiment with calls in which the subject of the clause does not count."""
    return Cause(clause, fields, change, kind=kind)


def unit_rows(case: Case) -> Case:
    """Return the case with every row at unit length, as near as the dtype comes; a zero row stays."""
    inputs = dict(case.inputs)
    for name, rows in inputs.items():
        if rows.dtype.kind == "f" and rows.ndim == 2:
            lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
            inputs[name] = rounded(rows / np.where(lengths > 0, lengths, 1.0), case.dtype)
    return replace(case, inputs=inputs)


def far_negative(case: Case) -> Case:
    """Return the case with one more identity, whose only row is farther from each row than any two others are."""
    rows, labels = case.inputs["embeddings"].copy(), case.inputs["labels"].copy()
    if len(rows):
        rows[-1] = rounded(rows[-1] + 64.0 * (1.0 + np.abs(rows).max()), case.dtype)
        labels[-1] = labels.max() + 1
    return replace(case, inputs={**case.inputs, "embeddings": rows, "labels": labels})


def one_identity(case: Case) -> Case:
    """Return the case with one identity, so that no row has a negative."""
    return replace(case, inputs={**case.inputs, "labels": np.zeros_like(case.inputs["labels"])})


def two_identities(case: Case) -> Case:
    """Return the case with two identities in turn, so that each of four rows and more has a positive and a negative."""
    labels = np.arange(len(case.inputs["labels"])) % 2
    return replace(case, inputs={**case.inputs, "labels": labels})
