"""One case in several implementations: what each answers, and whether that is what the page says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.hello import GRADES
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.host.words import shown
from lossproof.conformance.judge.compare import PARTS, farthest
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.oracle import Oracle
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.side_by_side.difference import entries_of
from lossproof.conformance.side_by_side.left_open import left_open
from lossproof.conformance.side_by_side.offers import applicable
from lossproof.conformance.side_by_side.sides import Side

RIGHT, WRONG, UNSAID, NOTHING = "right", "wrong", "undecided", "nothing"


@dataclass(frozen=True)
class Row:
    """One implementation in the table: its arrays by where they stand, what is said of them, and what that means."""

    title: str
    words: str
    says: str
    arrays: Mapping[str, Array] = field(default_factory=dict)


def page_row(case: Case) -> Row:
    """Return what the reference answers, with the budgets of ours and of others."""
    ours, others = (Oracle(ours=which).expected(case) for which in (True, False))
    arrays = {"loss": others.value, **{f"gradient of {name}": array for name, array in others.gradients.items()}}
    arrays |= {f"second derivative for {name}": array for name, array in others.second.items()}
    budgets = [float(np.max(found.value_budget(GRADES[0]), initial=0.0)) for found in (ours, others)]
    return Row("the page", f"loss ± {budgets[0]:.2g} (ours), ± {budgets[1]:.2g}", RIGHT, arrays)


def row(side: Side, case: Case, own: LossCases) -> Row:
    """Ask one implementation, and say whether its answer is within budget."""
    loss, hello = case.loss, side.session.hello
    if loss not in hello["losses"]:
        return Row(side.title, f"unsupported: no {loss}", NOTHING)
    offer = Offer.of(loss, hello, ours=side.ours)
    lacking = next(_lacking(offer, case), None)
    if lacking:
        return Row(side.title, f"unsupported: {lacking}", NOTHING)
    judge = Judge(side.session, {loss: offer}, Oracle(ours=side.ours), {loss: own}, grade=hello.get("grade", GRADES[0]))
    given = {name: value for name, value in case.parameters.items() if offer.has(name)}
    judged = replace(case, order=min(case.order, max(offer.orders)))
    asked = replace(judged, parameters=given, mode=_mode(offer, case))
    answer = side.session.ask(asked)
    if answer.error and case.order:  # as a function answers that has no derivatives
        alone = side.session.ask(replace(asked, order=0, cotangent=None, tangents={}))
        judged, answer = (judged, answer) if alone.problem else (replace(judged, order=0), alone)
    if answer.problem:
        return Row(side.title, f"errored: {answer.problem}", WRONG)
    if answer.unsupported:
        return Row(side.title, f"unsupported: {answer.unsupported}", NOTHING)
    return _judged(side.title, judge, judged, answer)


def _mode(offer: Offer, case: Case) -> str:
    """Return the mode that is asked: that of the case, or the first where the case is a plain one."""
    return offer.modes[0] if case.mode == "eager" and "eager" not in offer.modes else case.mode


def _lacking(offer: Offer, case: Case) -> Iterator[str]:
    """Yield what an implementation does not offer of a case."""
    if case.dtype not in offer.dtypes:
        yield case.dtype
    if _mode(offer, case) not in offer.modes:
        yield f"mode {case.mode}"
    yield from (f"no {name}" for name in case.inputs if not offer.has(name))
    options = {name: entry["default"] for name, entry in offer.parameters.items() if "default" in entry}
    for name, value in applicable(case.loss, {**options, **case.parameters}).items():
        if not offer.choices(name, [value]) and not (name == "eps_at" and case.parameters.get("eps") == 0):
            works = "" if offer.has(name) else f", it works with {shown(offer.neutral(name))}"
            yield f"{name} = {shown(value)}{works}"


def _judged(title: str, judge: Judge, case: Case, answer: Answer) -> Row:
    """Return the row of an answer: every entry that the spec does not leave open is held to its budget."""
    parts, unsaid = PARTS[: case.order + 1], left_open(judge.oracle, judge.losses[case.loss], case)
    found = entries_of(case, answer, judge.oracle.expected(case), judge.grade_of(case), parts)
    arrays, worst, wrong = {where: entry.got for where, entry in found.items()}, 0.0, []
    for where, entry in found.items():
        if entry.got.shape != entry.want.shape:
            wrong.append(f"{where} has shape {entry.got.shape}, not {entry.want.shape}")
            continue
        unspecified = unsaid.entries.get(where, False)
        mismatch, share = farthest("", where, entry.meant, entry.want, entry.room, unspecified)
        worst = max(worst, share)
        wrong += [f"{mismatch.where} is {share:.3g} budgets off"] if mismatch else []
    if wrong:
        return Row(title, f"no: {wrong[0]}", WRONG, arrays)
    if unsaid.reasons:
        return Row(title, unsaid.sentence, UNSAID, arrays)
    return Row(title, f"yes, {worst:.2g} of it" + ("" if len(arrays) > 1 else " (no gradient)"), RIGHT, arrays)
