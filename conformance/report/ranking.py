"""Which finding says most of a cause: what the probes of a loss say together that none of them says alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from lossproof.conformance.judge.compare import is_coarse
from lossproof.conformance.judge.results import Finding, Result
from lossproof.conformance.plan.plan import losses_known, plain_probe
from lossproof.spec import clauses, losses

CLASSES = ("value", "gradient", "interface")
ARGUMENTS = {"errors", "refusals", "labels", "ranges"}  # checks of calls that are wrong
ROUNDING = {"CV-15", "CV-16", "CV-17"}


class Says(IntEnum):
    """How much a finding says of its cause, most first."""

    ANOTHER_ANSWER = 0  # the same call twice: until that is mended nothing else means much
    RELATION = (
        1  # between two calls, as of permuted rows: no wrong formula breaks it, and what does breaks every formula
    )
    CAUSE = 2  # plain drawn calls are wrong, and their smallest case speaks of this clause
    NEEDED = 3  # drawn calls that another clause is about are wrong, and their smallest case speaks of this one
    DRAWN = 4  # drawn calls that this clause is about are wrong, or boundary cases
    DEFAULT = 5  # calls without options are wrong; where calls with every option are wrong, that is the cause
    MODE = 6  # compiled, vectorised or strided calls
    ROUNDING = 7  # right but for precision
    NAN = 8
    EXAMPLE = 9  # a worked example of the clause, in which much else may be wrong
    VECTOR = 10
    FORMULA = 11  # examples of the formula, of which no drawn call speaks


class Rank(NamedTuple):
    """Where a finding stands among those of its loss; the least comes first."""

    advice: bool  # what must hold comes first
    kind: int  # value, gradient, interface
    says: Says
    convention: bool  # a page's own clauses come before those of all pages
    place: int  # in the plan


@dataclass(frozen=True)
class Found:
    """One finding of a run, with every probe that found it: its place in the plan, its result and what it found."""

    probes: tuple[tuple[int, Result, Finding], ...]
    known: bool = False  # declared wherever it was found

    def __hash__(self) -> int:
        return id(self)

    @property
    def best(self) -> Finding:
        """Return what to show: what a drawn call found rather than a fixed one."""
        return min(self.probes, key=lambda one: (_fixed(one[1]), one[0]))[2]

    @property
    def checks(self) -> set[str]:
        """Return the checks that found it."""
        return {result.probe.check for _, result, _ in self.probes}


@dataclass(frozen=True)
class Evidence:
    """What the results of one loss say together.

    Args:
        formula: its general clauses, which nearly every fault breaks.
        asked: classes in which plain calls were drawn.
        causes: clauses that plain drawn calls speak of.
        defaults: clauses of what an option is where it is not given.
    """

    formula: frozenset[str]
    asked: frozenset[str]
    causes: frozenset[str]
    defaults: frozenset[str]

    @classmethod
    def of(cls, loss: str, results: list[Result]) -> Evidence:
        """Return the evidence of the results of one loss, or of another function."""
        formula = frozenset(_formula(loss).values())
        plain = [r for r in results if r.probe.clause in formula and _plain(r)]
        return cls(
            formula,
            frozenset(clauses()[r.probe.clause].kind for r in plain if r.run > r.obscured),
            frozenset(f.clause for r in plain for f in r.findings),
            frozenset(r.probe.clause for r in results if r.probe.options.structure.get("defaults")),
        )


def rank(one: Found, evidence: Evidence) -> Rank:
    """Return where a finding stands, by what all probes of its loss found."""
    clause, kind = clauses()[one.best.clause], _class(one)
    says, convention = _says(one, evidence, kind), clause.id.startswith("CV-")
    return Rank(clause.level == "SHOULD", CLASSES.index(kind), says, convention, one.probes[0][0])


def _class(one: Found) -> str:
    """Return the class of a finding: that of its clause, or a later one where a gradient or a wrong call shows it."""
    return "interface" if one.checks <= ARGUMENTS else class_of(one.best)


def class_of(finding: Finding) -> str:
    """Return the class of the clause, and gradient where a wrong gradient breaks a clause of values."""
    kind = clauses()[finding.clause].kind
    return "gradient" if (kind, finding.mismatch.kind) == ("value", "gradient") else kind


def _says(one: Found, evidence: Evidence, kind: str) -> Says:
    finding, clause, checks = one.best, one.best.clause, one.checks
    convention, formula = clause.startswith("CV-"), clause in evidence.formula
    if "determinism" in checks and not finding.mismatch.errored:
        return Says.ANOTHER_ANSWER
    if all(_fixed(result) for _, result, _ in one.probes):
        return _says_fixed(one, evidence, kind)
    if "invariances" in checks and not convention and not formula:
        return Says.RELATION
    if clause in ROUNDING or (convention and is_coarse(finding.mismatch, finding.case)):
        return Says.ROUNDING
    if clause in evidence.causes or (formula and kind not in evidence.asked):
        return Says.CAUSE
    if clause in evidence.defaults:
        return Says.DEFAULT
    if checks <= {"compiled"}:
        return Says.MODE
    if checks <= {"nan"}:
        return Says.NAN
    return Says.NEEDED if any(_arrived(result, clause) for _, result, _ in one.probes) else Says.DRAWN


def _says_fixed(one: Found, evidence: Evidence, kind: str) -> Says:
    """Return what a finding says that fixed calls alone have shown."""
    clause = one.best.clause
    if clause in evidence.formula:
        return Says.FORMULA if kind in evidence.asked else Says.CAUSE
    if _about_nan(clause):
        return Says.NAN
    return Says.VECTOR if one.checks <= {"vectors"} else Says.EXAMPLE


def _arrived(result: Result, clause: str) -> bool:
    """Whether the search for the smallest case arrived at a clause from the probe of another."""
    return result.probe.clause != clause and result.probe.check in (*CLASSES, "reductions") and not _fixed(result)


@cache
def _about_nan(clause: str) -> bool:
    """Whether each example of a clause has NaN in rows that take part."""
    examples = clauses()[clause].examples
    return bool(examples) and all("nan" in repr(e.inputs) and "mask" not in e.inputs for e in examples)


@cache
def _formula(name: str) -> Mapping[str, str]:
    """Return the clauses of the formula of a loss, by class, or the first that drawn calls of a function ask about."""
    if name in losses():
        formula: Mapping[str, str] = losses_known()[name].formula
        return formula
    return {"value": plain_probe(name).clause}


def _plain(result: Result) -> bool:
    """Whether a probe draws plain calls."""
    probe = result.probe
    return probe.label == ("drawn" if probe.check == "functions" else "") and probe.check in (*CLASSES, "functions")


def _fixed(result: Result) -> bool:
    """Whether a probe asks fixed calls, in which a clause is broken without being singled out."""
    probe = result.probe
    return probe.check in ("examples", "vectors") or (probe.check == "functions" and not probe.label)
