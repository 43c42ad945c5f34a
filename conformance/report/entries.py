"""From the results of a run to what a person reads: each cause once, and the clause that says most of it first."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lossproof.conformance.judge.results import KNOWN, Finding, Result
from lossproof.conformance.report.ranking import Evidence, Found, Rank, Says, rank

REFUSED = "an error"  # what is wanted, or "an error, or nan"
ANYTHING = {"CV-21", "CV-23"}  # clauses that an error breaks wherever it occurs


@dataclass(frozen=True)
class Entry:
    """One cause: the finding that says most of it, and the others that it explains.

    Args:
        finding: the one that is shown.
        also: the others, which need no line of their own.
        known: whether they are declared as known failures; an entry never mixes what is with what is not.
        probes: how many probes found them.
    """

    finding: Finding
    also: tuple[Finding, ...]
    known: bool
    probes: int


def entries(results: Iterable[Result], part: str = "findings") -> list[Entry]:
    """Return the findings (or the "advice") of a run, each cause once and in the order in which they are read.

    Value comes before gradient and gradient before the interface. In each class the finding that says most of its cause
    comes first (`ranking.rank`).
    """
    results = list(results)
    found, evidence = _found(results, part), _evidence(results)
    ranks = {one: rank(one, evidence[one.best.loss]) for one in found}
    groups: dict[Any, list[Found]] = defaultdict(list)
    for one in sorted(found, key=ranks.__getitem__):
        groups[cause(one.best), one.known].append(one)
    return [_entry(_of_errors(group, ranks) if "errored" in key[0] else group) for key, group in groups.items()]


def cause(finding: Finding) -> Any:
    """Return what the findings of one cause share.

    What raised, crashed or hung shares its message, whatever was asked. An argument check that is missing shares its
    clause, and so does a loss where an error is as right as NaN, and results of a wrong dtype. Everything else shares
    its smallest call and the wrong answer to it.
    """
    case, mismatch = finding.case, finding.mismatch
    if mismatch.errored and mismatch.where == "the call":
        return finding.loss, "errored", re.sub(r"0x[0-9a-f]+|\d+", "#", str(mismatch.got))
    kind = "accepted" if str(mismatch.want).startswith(REFUSED) else mismatch.kind
    if kind in ("accepted", "dtype"):
        return finding.loss, kind, finding.clause
    inputs = sorted((name, a.shape, a.tobytes()) for name, a in case.inputs.items())
    call = inputs, sorted(case.parameters.items()), case.mode, case.dtype, sorted(case.dtypes.items())
    return finding.loss, "answered", repr((call, mismatch.kind, mismatch.where, str(mismatch.got)))


def _found(results: list[Result], part: str) -> list[Found]:
    by: dict[tuple[str, str], list[tuple[int, Result, Finding]]] = defaultdict(list)
    for place, result in enumerate(results):
        for finding in getattr(result, part):
            by[finding.loss, finding.id].append((place, result, finding))
    known = {ids: part == "findings" and all(r.verdict == KNOWN for _, r, _ in probes) for ids, probes in by.items()}
    return [Found(tuple(probes), known[ids]) for ids, probes in by.items()]


def _evidence(results: list[Result]) -> dict[str, Evidence]:
    by: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by[result.probe.loss].append(result)
    return {loss: Evidence.of(loss, own) for loss, own in by.items()}


def _of_errors(group: list[Found], ranks: Mapping[Found, Rank]) -> list[Found]:
    """Order what one error stops: what plain calls break, then the clause that most findings are about."""
    many = Counter(probe for one in group for probe in [one.best.clause] * len(one.probes))

    def key(one: Found) -> Any:
        return ranks[one].says != Says.CAUSE, one.best.clause in ANYTHING, -many[one.best.clause], ranks[one]

    return sorted(group, key=key)


def _entry(group: list[Found]) -> Entry:
    others = tuple(one.best for one in group[1:])
    return Entry(group[0].best, others, group[0].known, len({place for one in group for place, *_ in one.probes}))
