"""Which option of the page explains a difference: each is tried alone, with the reference, on fresh cases too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.options import expectation, parameters_of
from lossproof.conformance.host.words import shown
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.report.formulas import plain
from lossproof.conformance.side_by_side.offers import Options, applicable
from lossproof.conformance.side_by_side.pair import BOTH, Answers, Pair
from lossproof.spec import clauses

FRESH = range(1000, 1004)  # sets of numbers that no search has drawn, for each shape
LEAST = 3  # cases on which options must have been tried
# What public losses are set to; a number that is none of these is not found here
NUMBERS = (
    0.0, 1e-16, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 0.01, 0.05, 0.07, 0.1, 0.2, 0.25, 0.3,
    0.35, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 8.0, 10.0, 16.0, 20.0, 30.0, 32.0, 64.0, 80.0, 100.0,
    128.0, 256.0, 1e12, inf,
)  # fmt: skip


@dataclass(frozen=True)
class Explanation:
    """Why two differ.

    Args:
        sentence: what is to be said of it.
        clause: the one that separates them; none where no single option does.
        changes: what is changed in the options of each for the page to give its numbers.
    """

    sentence: str
    clause: str = ""
    changes: tuple[Options, Options] | None = None


@dataclass
class _Asked:
    """The case at hand and fresh ones with the same options, with what both answered."""

    pair: Pair
    structure: Structure
    cases: list[tuple[Case, Answers]]
    known: dict[tuple[int, str], bool] = field(default_factory=dict)

    def equal(self, side: int, options: Options) -> bool:
        """Whether one of them equals the page with these options, on all cases that decide it."""
        key = side, repr(sorted(applicable(self.cases[0][0].loss, options).items()))
        if key not in self.known:
            self.known[key] = self._equal(side, options)
        return self.known[key]

    def _equal(self, side: int, options: Options) -> bool:
        decided = 0
        for case, answers in self.cases:
            judged = replace(self.pair.judged_of(side, case, self.structure), parameters=applicable(case.loss, options))
            found = self.pair.equals_page(side, judged, answers[side])
            if found is False:
                return False
            decided += found is True
        return decided >= LEAST


def explain(pair: Pair, structure: Structure, case: Case, answers: Answers, kind: str) -> Explanation:
    """Return what explains the difference of two answers; `kind` says whether it is in the value or the gradient."""
    loss = case.loss
    fresh = [(c, a) for c in _fresh(pair, loss, structure) if (a := pair.answers(c, structure))]
    asked = _Asked(pair, structure, [(case, answers), *fresh])
    own = [pair.options(side, loss, structure)[1] for side in BOTH]
    right = [asked.equal(side, own[side]) for side in BOTH]
    befores: list[list[Options]] = [[], []]  # of each, what makes it equal the page
    for one, other in sorted(((0, 1), (1, 0)), key=lambda order: not right[order[0]]):
        befores[one] = [{}] if right[one] else _steps(asked, one, own[one], own[other])
        for before in befores[one][:1]:
            steps = [
                s for s in _steps(asked, other, {**own[one], **before}, own[other]) if not s.keys() & before.keys()
            ]
            if steps:
                return _explained(pair, structure, case, kind, (one, other), own, before, steps)
    return Explanation(_unexplained(pair, own, befores))


def _fresh(pair: Pair, loss: str, structure: Structure) -> Iterator[Case]:
    """Yield other cases with the same options: of some shapes, for with two rows a sum is twice a mean."""
    probe = Probe(loss, "value", "")
    for shape in dict.fromkeys([structure["shape"], *pair.losses[loss].space["shape"][:3]]):
        drawn = (pair.case(probe, {**structure, "shape": shape}, fill) for fill in FRESH)
        yield from (case for case in drawn if case)


def _steps(asked: _Asked, side: int, options: Options, others: Options) -> list[Options]:
    """Return the options that are changed alone for one of them to equal the page.

    First come those that are as somebody said, then numbers, then words.
    """
    loss = asked.cases[0][0].loss
    page = parameters_of(loss)
    found: list[Options] = []
    for name in sorted(page, key=lambda name: page[name]["kind"] != "real"):
        entry, now = page[name], options.get(name, page[name].get("default"))
        values = {"choice": entry.get("choices", ()), "bool": (False, True), "real": NUMBERS}.get(entry["kind"], ())
        for value in dict.fromkeys([others.get(name, entry.get("default")), *values]):
            known = None not in (now, value) and value != now and expectation(entry, value) is None
            if known and asked.equal(side, {**options, name: value}):
                found.append({name: value})
                break
    return sorted(found, key=lambda step: any(v != others.get(n, page[n].get("default")) for n, v in step.items()))


def _explained(
    pair: Pair, structure: Structure, case: Case, kind: str, order: tuple[int, int], own: list[Options],
    before: Options, steps: list[Options],
) -> Explanation:  # fmt: skip
    (one, other), page = order, parameters_of(case.loss)
    ((name, value),) = steps[0].items()
    base = {**own[one], **before}
    was = base.get(name, page[name]["default"])
    clause = _clause(pair, structure, case.loss, kind, name, {one: was, other: value})
    said = {one: f"{name} = {shown(was)}", other: " or ".join(f"{n} = {shown(v)}" for s in steps for n, v in s.items())}
    settings = ", ".join(f"{pair.letters[side]} is the page's with {said[side]}" for side in BOTH)
    besides = "".join(f"; both have {n} = {shown(v)}, undeclared (--fixed {n}={shown(v)})" for n, v in before.items())
    sentence = f"{clause}, {plain(clauses()[clause].title)}: {settings}{besides}"
    changes: list[Options] = [{}, {}]
    changes[one] = before
    wanted = applicable(case.loss, {**base, **steps[0]})
    left_out = {n: page[n].get("default") for n in own[other] if n not in wanted}
    departs = {n: v for n, v in wanted.items() if v != own[other].get(n, page[n].get("default"))}
    changes[other] = {**left_out, **departs}
    return Explanation(sentence, clause, (changes[0], changes[1]))


def _clause(pair: Pair, structure: Structure, loss: str, kind: str, name: str, values: dict[int, Any]) -> str:
    """Return the clause of an option: of the value that departs from the page, or of defaults where that is one."""
    cases, default = pair.losses[loss], parameters_of(loss)[name].get("default")
    departing, other = sorted(values, key=lambda side: bool(values[side] == default))
    given = pair.options(departing, loss, structure)[0]
    if structure.get("defaults") and pair.sides[departing].offers[loss].has(name) and name not in given:
        return next(probe.clause for probe in cases.probes() if probe.options.structure.get("defaults"))
    named = (cases.blame(kind, {name: values[side]}) for side in (departing, other))
    return next(filter(None, named), cases.formula[kind])


def _unexplained(pair: Pair, own: list[Options], befores: list[list[Options]]) -> str:
    a, b = (_equal(letter, before) for letter, before in zip(pair.letters, befores, strict=True))
    if befores == [[{}], [{}]]:
        names = [n for n in {**own[0], **own[1]} if own[0].get(n) != own[1].get(n)]
        return f"not by one option: {a}, and {b}; their options differ in {', '.join(names)}"
    if [{}] in befores and [] in befores:
        wrong = pair.letters[befores.index([])]
        return f"from the page: {a}, and {b}; `lossproof certify` names the clause that {wrong} breaks"
    return f"not by one option: {a}, and {b}"


def _equal(letter: str, before: list[Options]) -> str:
    if not before:
        return f"{letter} does not equal it, nor with any single option changed"
    said = " or ".join(f"{n} = {shown(v)}" for step in before for n, v in step.items())
    return f"{letter} equals the page {f'with {said}' if said else 'with its own options'}"
