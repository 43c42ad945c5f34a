"""Another legal choice at a kink is no fault, and no conformance with the spec's own choice either."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from math import isnan
from typing import Any

import pytest

import lossproof.backends.torch as right
from audit.kills import adapter, mutants
from audit.mutants import Mutant
from audit.mutants.correct import CORRECT
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.ranks import Ranks
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import CONFORMANT, NONCONFORMANT, OTHER_CHOICE, Result
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import clauses

SECOND = {"CV-14"}  # others are not asked at kinks
OTHERS = {
    key: mutant
    for key, mutant in mutants().items()
    if mutant.ours and {clauses()[c].level for c in mutant.clauses} == {"CHOICE"} and not SECOND & set(mutant.clauses)
}


def judged(
    loss: str, function: Any, asked: set[str], *, ours: bool = False, ranks: Ranks | None = None, target: str = ""
) -> Iterator[Result]:
    session: Any = InProcess(Implementation({loss: function}, ranks=ranks, target=target), "torch", adapter("torch"))
    session.hello["modes"] = [session.hello["modes"][0], *(ranks.modes if ranks else ())]
    judge = Judge.of(session, losses_known(), ours=ours)
    for probe in plan(loss, losses_known()[loss]):
        if probe.clause in asked and probe.check in ("boundary", "examples", "devices"):
            yield judge.run(probe, CHECKS[probe.check])


@pytest.mark.parametrize("mutant", OTHERS.values(), ids=OTHERS)
def test_another_choice_is_named_and_not_accused(mutant: Mutant) -> None:
    of = {"ranks": mutant.ranks, "target": mutant.target}
    found = list(judged(mutant.loss, mutant.function, set(mutant.clauses), **of))
    assert not [finding for result in found for finding in result.findings]
    chosen = [result for result in found if result.verdict == OTHER_CHOICE]
    assert chosen
    assert all("; the spec chooses " in result.choice for result in chosen)


@pytest.mark.parametrize("mutant", OTHERS.values(), ids=OTHERS)
def test_in_our_own_code_it_is_a_fault(mutant: Mutant) -> None:
    of = {"ranks": mutant.ranks, "target": mutant.target}
    found = list(judged(mutant.loss, mutant.function, set(mutant.clauses), ours=True, **of))
    assert NONCONFORMANT in [result.verdict for result in found]
    assert not [result for result in found if result.choice]


def test_the_choices_of_the_spec_are_conformant() -> None:
    asked = {c.id for c in clauses().values() if c.level == "CHOICE"}
    found = [r for r in judged("triplet_margin_loss", CORRECT, asked) if r.run]
    assert {result.verdict for result in found} == {CONFORMANT}
    assert not [result.choice for result in found if result.choice]


def test_what_was_chosen_is_one_plain_sentence() -> None:
    tie = next(judged("triplet_margin_loss", mutants()["swap-tie-split"].function, {"TM-6"}))
    assert tie.choice == "gradient of anchor[0, 0] is -0.5; the spec chooses 0"


def test_what_no_convention_gives_is_accused() -> None:
    wrong = mutants()["nan-at-coincident-rows"]
    found = [f for r in judged(wrong.loss, wrong.function, {"DI-15"}) for f in r.findings]
    assert found
    assert isnan(found[0].mismatch.got)


def test_nan_is_no_convention_where_there_are_too_many_to_list() -> None:
    def nan_beside_itself(embeddings, labels, *, candidates=None, candidate_index=None, **rest):
        found = right.batch_all_triplet_loss(
            embeddings, labels, candidates=candidates, candidate_index=candidate_index, **rest
        )
        if candidates is None or candidate_index is not None:
            return found
        return found + 0 * (0 * embeddings).sum().sqrt()  # whose slope is infinite

    function = functools.wraps(right.batch_all_triplet_loss)(nan_beside_itself)
    found = [f for r in judged("batch_all_triplet_loss", function, {"DI-15"}) for f in r.findings]
    assert [isnan(f.mismatch.got) for f in found] == [True]
    assert isinstance(found[0].mismatch.want, float)  # and no range of conventions
