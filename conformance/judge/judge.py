"""The judge: draws structures, asks the implementation, compares, and gives each probe its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from lossproof.conformance.host.arrays import HALVES, Array
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.hello import GRADES
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.host.ranks import world_of
from lossproof.conformance.host.session import Asked
from lossproof.conformance.judge.compare import PARTS, against, unanswered
from lossproof.conformance.judge.first_questions import offers
from lossproof.conformance.judge.oracle import Expected, Oracle
from lossproof.conformance.judge.plain import Plain
from lossproof.conformance.judge.results import (
    CONFORMANT,
    ERRORED,
    NONCONFORMANT,
    OTHER_CHOICE,
    UNSUPPORTED,
    Finding,
    Mismatch,
    Result,
)
from lossproof.conformance.plan.blame import REDUCTIONS
from lossproof.conformance.plan.cases.structures import LATER, Structure, generator
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.covering import VARIANTS, busy, covering
from lossproof.conformance.plan.plan import FILLS
from lossproof.conformance.plan.probe import Probe
from lossproof.spec import clauses, losses

REDRAWS = 40
MAX_CRASHES = 3
FEW = 2  # structures, of which the plain call would be half


class Crashed(Exception):
    """The implementation crashed, hung or answered garbage too often for this probe."""

    def __init__(self, answer: Answer, case: Case):
        super().__init__(answer.failure)
        self.answer, self.case = answer, case


class Unsupported(Exception):
    """The implementation does not offer what a probe asks about."""


def _is_advice(finding: Finding) -> bool:
    stopped = finding.mismatch.errored and finding.case.mode != "strict"  # there the clause speaks of errors
    return clauses()[finding.clause].level == "SHOULD" and not stopped


@dataclass
class Judge:
    """One implementation under judgement."""

    session: Asked
    offers: Mapping[str, Offer]
    oracle: Oracle
    losses: Mapping[str, LossCases]
    seed: int = 0
    examples: int = 6
    fills: int = FILLS
    grade: str = "direct"
    asked: int = 0
    obscured: int = 0  # cases of the current probe whose failure another probe speaks of
    plain: Plain = field(default_factory=Plain)
    again: bool = False  # whether the cases of the current probe are put once more
    _failures: int = 0  # crashes, hangs and garbage of the current probe
    stop: Callable[[], bool] = field(default=lambda: False)

    @classmethod
    def of(
        cls, session: Asked, losses: Mapping[str, LossCases], *, ours: bool, exact_only: bool = False, **more: Any
    ) -> Judge:
        """Return the judge of a session, which asks its first questions; `more` are seed, examples and fills."""
        grade, oracle = str(session.hello.get("grade", "direct")), Oracle(ours=ours, exact_only=exact_only)
        return cls(session, offers(session, losses, ours=ours), oracle, losses, grade=grade, **more)

    def ask(self, case: Case) -> Answer:
        """Put one case to the implementation; after the third crash of a probe, end the probe."""
        self.asked += 1
        answer = self.session.ask(replace(case, again=True) if self.again else case)
        if answer.failure:
            self._failures += 1
            if self._failures >= MAX_CRASHES:
                raise Crashed(answer, case)
        return answer

    def run(self, probe: Probe, check: Callable[[Judge, Probe, Result], None]) -> Result:
        """Run one probe to its verdict; what goes wrong in the implementation is in the result, never raised.

        What code that was compiled in a hurry gets wrong is asked once more, of code that is compiled as users have it.
        """
        result = self._run(probe, check)
        if not (result.findings or result.advice) or self._failures or not self.session.hello.get("quick"):
            return result
        self.again = True
        try:
            second = self._run(probe, check)
        finally:
            self.again = False
        return replace(second, run=result.run + second.run, seconds=result.seconds + second.seconds)

    def _run(self, probe: Probe, check: Callable[[Judge, Probe, Result], None]) -> Result:
        result, start, before = Result(probe), time.perf_counter(), self.asked
        self.obscured = self._failures = 0
        try:
            try:
                check(self, probe, result)
            except Crashed as last:
                result.reason = f"ended after {MAX_CRASHES} crashes"
                if not result.findings:
                    mismatch = unanswered(last.answer)
                    assert mismatch is not None
                    result.findings.append(self.finding(probe, mismatch, last.case))
            if not self.oracle.ours or self.oracle.exact_only:  # SHOULD binds our backends, and is advice to others
                result.advice = [f for f in result.findings if _is_advice(f)]
                result.findings = [f for f in result.findings if not _is_advice(f)]
            verdicts = {finding.verdict for finding in result.findings}
            result.verdict = NONCONFORMANT if NONCONFORMANT in verdicts else ERRORED if verdicts else CONFORMANT
            if result.verdict == CONFORMANT and self.obscured and self.obscured >= result.planned:
                raise Unsupported("obscured: every case is wrong already in what another probe asks about")
            if result.verdict == CONFORMANT and self.asked == before:
                raise Unsupported("no case of this probe is within what the implementation offers")
            if result.verdict == CONFORMANT and result.choice:
                result.verdict = OTHER_CHOICE
        except Unsupported as reason:
            result.verdict, result.reason = UNSUPPORTED, str(reason)
        result.run, result.obscured = self.asked - before, self.obscured
        result.seconds = time.perf_counter() - start
        return result

    # Structures and cases

    def choices(self, probe: Probe) -> dict[str, list[Any]]:
        """Return the choices of each field for a probe, restricted to what the implementation offers."""
        offer, loss = self.offers[probe.loss], self.losses[probe.loss]
        if offer.even and probe.options.structure.get("split", "even") != "even":
            raise Unsupported("processes with different numbers of rows")
        spaces = {name: probe.vary.get(name, values[:1]) for name, values in loss.space.items()}
        if not spaces["mode"]:
            spaces["mode"] = tuple(offer.modes[:1])
        found = {}
        for name, wanted in spaces.items():
            found[name] = offer.choices(name, wanted)
            if not found[name] and name not in probe.vary:
                found[name] = offer.choices(name, loss.space[name])[:1] or [offer.neutral(name)]
                if name == "order" and found[name] == [None]:
                    found[name] = [0]  # no gradients
            if not found[name]:
                raise Unsupported(f"{name} = {', '.join(map(repr, wanted))}")
        return found

    def structures(self, probe: Probe, result: Result, examine: Callable[[Structure], Finding | None]) -> None:
        """Call `examine` with structures of a probe, until it finds something or there are enough."""
        offer, loss = self.offers[probe.loss], self.losses[probe.loss]
        choices = self.choices(probe)
        wanted = max(1, round(self.examples * probe.effort * offer.effort))
        seen: set[str] = set()

        def examined(structure: Structure) -> None:
            key = repr(sorted(structure.items()))
            if key not in seen and not result.findings and not self.stop():
                seen.add(key)
                found = examine(structure | dict(probe.options.structure))
                result.findings.extend([found] if found else [])

        if probe.options.pairs or wanted <= FEW:  # the first that hypothesis draws is the plain call, which others ask
            rng = generator(self.seed, probe.name)
            choices = choices if probe.options.own_clause else busy(choices)
            for structure in covering(choices, lambda drawn: loss.normal(drawn, offer), wanted, rng):
                examined(structure)
        else:
            self._drawn(choices, wanted, lambda structure: examined(loss.normal(structure, offer)))

    def _drawn(self, choices: Mapping[str, list[Any]], wanted: int, examined: Callable[[Structure], None]) -> None:
        """Call `examined` with structures that hypothesis draws."""
        single = {n: v for n, v in LATER.items() if choices.get(n) == [v]}  # draws are those that were before them
        strategy = st.fixed_dictionaries(
            {n: st.sampled_from(v) for n, v in choices.items() if n not in single}
            | {"variant": st.sampled_from(range(VARIANTS))}
        )

        @hypothesis.seed(self.seed)
        @hypothesis.settings(
            max_examples=wanted, phases=[Phase.generate], database=None, deadline=None, derandomize=False,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
        )  # fmt: skip
        @hypothesis.given(strategy)
        def draw(structure: Structure) -> None:
            examined(single | structure)

        draw()

    def finding(self, probe: Probe, mismatch: Mismatch, case: Case) -> Finding:
        """Return a finding of the probe's own clause, or of the reduction where the shape of the loss is wrong."""
        if mismatch.of_shape:
            return Finding(probe.loss, self.shape_clause(case), "", probe.check, mismatch, case)
        clause = "DD-15" if case.split and mismatch.errored else mismatch.clause or probe.clause
        return Finding(probe.loss, clause, probe.label, probe.check, mismatch, case)

    def shape_clause(self, case: Case) -> str:
        """Return the clause of the reduction, which says what shape the loss has."""
        reduction = case.parameters.get("reduction", self.offers[case.loss].neutral("reduction"))
        if "candidates" in case.inputs and losses()[case.loss].front["unit"] == "pair" and reduction == "none":
            return "SH-13"
        return REDUCTIONS.get(str(reduction), REDUCTIONS["mean"])

    def case(self, probe: Probe, structure: Structure, fill: int) -> Case | None:
        """Return the case of a structure with nothing undecided, or None after a fair number of draws."""
        offer, loss = self.offers[probe.loss], self.losses[probe.loss]
        for attempt in range(REDRAWS):
            case = loss.build(structure, offer, self.seed, fill + 1000 * attempt)
            if world_of(case.mode) > 1 and not case.split:
                return None  # its rows cannot be spread that way
            if not self.undecided(case, structure):
                return case
        return None

    def undecided(self, case: Case, structure: Structure) -> bool:
        """Whether a decision of a case is one that nobody at its precision can be held to."""
        return bool(self.oracle.undecided(self.judged(case, structure)))

    def judged(self, case: Case, structure: Structure) -> Case:
        """Return the case as the oracle sees it: with what the implementation has fixed spelled out."""
        fixed = self.losses[case.loss].fixed(structure, self.offers[case.loss])
        return replace(case, parameters={**fixed, **case.parameters})

    def grade_of(self, case: Case) -> str:
        """Return the widest grade that an answer may have: what is claimed, or what the option `pairwise` gives."""
        entry = self.offers[case.loss].page.parameters.get("pairwise")
        if entry is None or case.parameters.get("pairwise", entry["default"]) == "direct":
            return self.grade
        return max(self.grade, "centred", key=GRADES.index)

    def with_fixed(self, case: Case) -> Case:
        """Return the case as the oracle sees it where its options are written out: with those that cannot be given."""
        offer = self.offers[case.loss]
        fixed = {name: value for name, value in offer.fixed.items() if not offer.has(name)}
        return replace(case, parameters={**fixed, **case.parameters})

    def decided_by_rounding(self, case: Case) -> bool:
        """Whether rounding decides a case: it has a tie, and the implementation claims no direct distances."""
        claims = not self.oracle.ours and self.grade != "direct"
        return claims and bool(self.oracle.undecided(self.with_fixed(case)))

    def control(self, loss: str, parameters: Mapping[str, Any], parts: tuple[str, ...], dtype: str = "") -> bool:
        """Whether plain cases with these options are right; if not, a special case says nothing of its clause."""
        offer, own = self.offers[loss], self.losses[loss]
        structure = {n: (offer.choices(n, v or offer.modes[:1]) or [offer.neutral(n)])[0] for n, v in own.space.items()}
        structure |= {n: v for n, v in parameters.items() if n in own.controlled and offer.choices(n, [v])}
        structure["order"] = 1 if "gradient" in parts else 0
        structure["dtype"] = dtype if dtype in HALVES else structure["dtype"]  # where another arithmetic is right
        structure = own.normal(structure, offer)
        probe, counts = Probe(loss, "control", ""), (self.asked, self.obscured)

        def right() -> bool:
            return all(self.failure(probe, structure, fill, parts) is None for fill in range(FILLS))

        found = self.plain.right(loss, repr(sorted(structure.items())), right)
        self.asked, self.obscured = counts  # asked once for all probes, so it counts for none of them
        return found

    # Agreement with the oracle

    def failure(
        self,
        probe: Probe,
        structure: Structure,
        fill: int,
        parts: tuple[str, ...],
        result: Result | None = None,
    ) -> tuple[Case, Mismatch] | None:
        """Ask one set of numbers of a structure and compare; return the case with its mismatch, if there is one."""
        case = self.case(probe, structure, fill)
        return None if case is None else self.judge_case(case, structure, parts, result)

    def judge_case(
        self,
        case: Case,
        structure: Structure,
        parts: tuple[str, ...],
        result: Result | None = None,
        unspecified: Mapping[str, Array] | None = None,
    ) -> tuple[Case, Mismatch] | None:
        """Ask one case and compare; return the case with its mismatch, if there is one; `unspecified` is left open."""
        judged = self.judged(case, structure)
        answer = self.ask(case)
        if answer.unsupported:
            if not self.oracle.ours or case.order == 2:
                return None  # ours offer each of their modes to each of their losses
            return case, Mismatch("failure", "the call", answer.unsupported, f"mode {case.mode}")
        expected = self.oracle.expected(judged)
        earlier = PARTS[: PARTS.index(parts[0])]
        if (
            earlier
            and answer.problem is None
            and against(judged, answer, expected, earlier, GRADES[-1], unspecified)[0]
        ):
            self.obscured += 1  # the value, or the gradient, is wrong already: its own probes speak of that
            return self._alone(case, judged, answer, expected, unspecified)
        mismatch = self.compare(judged, answer, expected, parts, result, unspecified)
        return None if mismatch is None else (case, mismatch)

    def _alone(
        self, case: Case, judged: Case, answer: Answer, expected: Expected, mask: Mapping[str, Array] | None
    ) -> tuple[Case, Mismatch] | None:
        """Return a value that is wrong where a gradient is asked for, and there alone (CV-22)."""
        wrong = against(judged, answer, expected, ("value",), GRADES[-1], mask)[0]
        plain = self.ask(replace(case, order=0, cotangent=None, tangents={})) if wrong and case.order else answer
        if wrong is None or plain is answer or plain.problem or plain.unsupported:
            return None
        right = against(judged, plain, expected, ("value",), GRADES[-1], mask)[0] is None
        return (case, replace(wrong, clause="CV-22")) if right else None

    def compare(
        self,
        judged: Case,
        answer: Answer,
        expected: Expected,
        parts: tuple[str, ...],
        result: Result | None = None,
        mask: Mapping[str, Array] | None = None,
    ) -> Mismatch | None:
        """Compare an answer, grade by grade up to the one that is claimed; keep the worst shares of the budget."""
        claimed = self.grade_of(judged)
        for grade in GRADES[: GRADES.index(claimed) + 1]:
            mismatch, worst = against(judged, answer, expected, parts, grade, mask)
            if mismatch is None or mismatch.errored:
                break
        if result is not None and mismatch is None:
            result.grade = max(result.grade, grade, key=GRADES.index)
            if grade != claimed:  # a share of the budget is one of what the implementation claims
                _, worst = against(judged, answer, expected, parts, claimed, mask)
            for part, share in worst.items():
                shares = result.worst.setdefault(part, {})
                shares[judged.dtype] = max(shares.get(judged.dtype, 0.0), share)
        return mismatch
