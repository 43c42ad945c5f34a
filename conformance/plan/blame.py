"""The clause that a failure speaks of: a table of the fields that name one, and of which are asked first."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lossproof.conformance.host.arrays import HALVES


@dataclass(frozen=True)
class Blames:
    """A row of the table of a loss: the clauses that a field names where a failure goes away without it.

    Args:
        field: its name.
        value: the clause of a wrong value; the row says nothing of it without one.
        gradient: the clause of a wrong gradient.
        among: the choices of the field that the row is about; None: all of them.
        beside: another field that the failure needs, too.
    """

    field: str
    value: str = ""
    gradient: str = ""
    among: Container[Any] | None = None
    beside: str = ""

    def clause(self, kind: str, needed: Mapping[str, Any]) -> str:
        """Return the clause that the row names, from the fields without which a failure goes away; or nothing."""
        applies = self.field in needed and (not self.beside or self.beside in needed)
        if not applies or (self.among is not None and needed[self.field] not in self.among):
            return ""
        return self.gradient if kind == "gradient" else self.value


def by_choice(field: str, clauses: Mapping[Any, tuple[str, str]]) -> tuple[Blames, ...]:
    """Return a row for each choice of a field, with the clauses of its value and of its gradient."""
    return tuple(Blames(field, *named, among=(choice,)) for choice, named in clauses.items())


def blamed(table: Iterable[Blames], kind: str, needed: Mapping[str, Any]) -> str | None:
    """Return the clause of the first row that names one; None: the failure speaks of the formula."""
    return next(filter(None, (row.clause(kind, needed) for row in table)), None)


REDUCTIONS = {"none": "CV-1", "sum": "CV-2", "mean": "CV-3", "mean_nonzero": "CV-4"}


def reductions(**own: str) -> tuple[Blames, ...]:
    """Return the rows of the reductions, some of them with clauses of the page."""
    return by_choice("reduction", {name: (clause, clause) for name, clause in (REDUCTIONS | own).items()})


# What every loss is asked about first, and what comes last.
MODES = (
    *by_choice("mode", {"ambient": ("CV-20",) * 2, "strided": ("CV-35",) * 2, "strict": ("CV-36",) * 2}),
    Blames("mode", "CV-22", "CV-22"),
)
UNITS = (
    Blames("mask", "CV-7", "CV-9"),
    Blames("weights", "CV-40", "CV-40", beside="reduction"),
    Blames("weights", "CV-39", "CV-39"),
)
ROUNDING = (
    Blames("offset", "DI-4", beside="eps"),
    Blames("offset", "CV-15", "CV-16"),
    Blames("dtype", "CV-17", "CV-16", among=HALVES),
)
CONVENTIONS = (*MODES, *UNITS, *ROUNDING, *reductions())
PRECISION = Blames("dtype", "CV-15", "CV-16")
