"""Two implementations as one judge has them: where it would find a fault in one, here it finds that they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.oracle import Oracle
from lossproof.conformance.judge.results import Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.side_by_side.difference import Entries, difference, entries_of
from lossproof.conformance.side_by_side.offers import Incomparable, Options, Shared, applicable, shared
from lossproof.conformance.side_by_side.sides import InOneMode, Side

Answers = tuple[Answer, Answer]
BOTH = (0, 1)


@dataclass(kw_only=True)
class Pair(Judge):
    """Two implementations, A and B, asked for the same things.

    Args:
        sides: a judge of each alone, with its own oracle: its budgets are its own.
        common: what both are asked for, by loss, and what each is given besides.
        incomparable: losses that have no call in common, and why.
        explained: changes of the options of each under which the page gives its numbers; without these nothing counts
            as a difference any more.
        compared: how many cases both answered.
        stopped: why a case was left out that one of them did not answer, by letter.
    """

    sides: tuple[Judge, Judge]
    letters: tuple[str, str]
    common: Mapping[str, Shared]
    incomparable: Mapping[str, str] = field(default_factory=dict)
    explained: tuple[Options, Options] | None = None
    compared: int = 0
    stopped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_sides(cls, one: Side, other: Side, known: Mapping[str, LossCases], **more: Any) -> Pair:
        """Return the pair; each is asked its first questions. Incomparable where they have no call in common."""
        first, second = (Judge.of(InOneMode(side.session), known, ours=side.ours, **more) for side in (one, other))
        common, reasons = {}, {}
        for loss in known:
            try:
                common[loss] = shared(first.offers[loss], second.offers[loss], one, other)
            except Incomparable as problem:
                reasons[loss] = str(problem)
        if not common:
            raise Incomparable(next(iter(reasons.values())))
        return cls(
            first.session,
            {loss: entry.offer for loss, entry in common.items()},
            Oracle(ours=one.ours and other.ours),
            known,
            sides=(first, second),
            letters=(one.letter, other.letter),
            common=common,
            incomparable=reasons,
            **more,
        )

    # What each is asked, and what the page says of it

    def options(self, side: int, loss: str, structure: Structure) -> tuple[Options, Options]:
        """Return the options that one of them is given, and those that the page is asked about in its place."""
        entry = self.common[loss]
        drawn = self.losses[loss].parameters(structure, entry.offer)
        given = {**drawn, **entry.besides(side, defaults=bool(structure.get("defaults"))), **structure.get("also", {})}
        judged = applicable(loss, {**entry.fixed[side], **given})
        return {name: value for name, value in judged.items() if name in given}, judged

    def judged_of(self, side: int, case: Case, structure: Structure, changes: Options | None = None) -> Case:
        """Return the case as the page is asked about it in the place of one of them, with some options changed."""
        own = replace(case, parameters=self.options(side, case.loss, structure)[1])
        own = replace(own, cotangent=self._cotangent(side, own))
        return replace(own, parameters=applicable(case.loss, {**own.parameters, **changes})) if changes else own

    def _cotangent(self, side: int, judged: Case) -> Array | None:
        """Return the cotangent of a case, or ones where a side reduces its terms in another way."""
        try:
            shape = self.sides[side].oracle.evaluate(judged).value.shape
        except (ValueError, TypeError):
            return judged.cotangent
        alike = judged.cotangent is not None and judged.cotangent.shape == shape
        return judged.cotangent if alike else np.ones(shape)

    def undecided(self, case: Case, structure: Structure) -> bool:
        """Whether a decision of a case is undecided for one of them, or the page refuses the call."""
        changes = self.explained or ({}, {})
        judged = [self.judged_of(side, case, structure, own) for side, own in enumerate(changes)]
        return any(self.is_undecided(side, own) for side, own in enumerate(judged))

    def is_undecided(self, side: int, judged: Case) -> bool:
        """Whether a decision of a case is undecided for one of them, or the page refuses the call."""
        try:
            return bool(self.sides[side].oracle.undecided(judged))
        except (ValueError, TypeError):
            return True

    # What they answer

    def call(self, side: int, case: Case, structure: Structure) -> Case:
        """Return a case as one of them is asked it."""
        given, mode = self.options(side, case.loss, structure)[0], self.sides[side].offers[case.loss].modes[0]
        return replace(self.judged_of(side, case, structure), parameters=given, mode=mode)

    def answers(self, case: Case, structure: Structure) -> Answers | None:
        """Return what both answer; None where one of them does not."""
        found = []
        for side in BOTH:
            answer = self.sides[side].ask(self.call(side, case, structure))
            if answer.problem or answer.unsupported:
                self.stopped.setdefault(self.letters[side], answer.problem or f"unsupported: {answer.unsupported}")
                return None
            found.append(answer)
        self.compared += 1
        return found[0], found[1]

    def entries(self, case: Case, structure: Structure, answers: Answers) -> tuple[Entries, Entries]:
        """Return the arrays of both answers, each with its own budget."""
        first, second = (self._entries(side, self.judged_of(side, case, structure), answers[side]) for side in BOTH)
        return first, second

    def _entries(self, side: int, judged: Case, answer: Answer) -> Entries:
        judge, parts = self.sides[side], ("value", "gradient") if judged.order else ("value",)
        return entries_of(judged, answer, judge.oracle.expected(judged), judge.grade_of(judged), parts)

    def equals_page(self, side: int, judged: Case, answer: Answer) -> bool | None:
        """Whether an answer is what the page says, within budget; None where a decision is undecided."""
        judge, parts = self.sides[side], ("value", "gradient") if answer.gradients else ("value",)
        try:
            if judge.oracle.undecided(judged):
                return None
        except (ValueError, TypeError):  # the page refuses such options
            return False
        return judge.compare(judged, answer, judge.oracle.expected(judged), parts) is None

    def judge_case(
        self,
        case: Case,
        structure: Structure,
        parts: tuple[str, ...],
        result: Result | None = None,
        unspecified: Mapping[str, Array] | None = None,
    ) -> tuple[Case, Mismatch] | None:
        """Ask both; return the case and where they are farthest apart, if that is beyond both budgets."""
        answers = self.answers(case, structure)
        if answers is None:
            return None
        found = difference(*self.entries(case, structure, answers), unspecified)
        if found is None or found.kind not in parts or not self._is_explained(case, structure, answers):
            return None
        return case, found

    def _is_explained(self, case: Case, structure: Structure, answers: Answers) -> bool:
        return self.explained is None or all(
            self.equals_page(side, self.judged_of(side, case, structure, changes), answers[side])
            for side, changes in enumerate(self.explained)
        )
