"""The suite's own strength: every broken implementation is caught, and the correct one is not accused."""

import pytest

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.kills import kill, mutants_of
from lossproof.conformance.plan import modules, plan
from lossproof.spec import clauses, losses, page, page_names

MUTANTS = {key: mutant for loss in losses() for key, mutant in mutants_of(loss).items()}
# A page of functions that are no losses has tests of its own, which name its clauses: nothing there is certified.
JUDGED = {
    key: clause
    for name in page_names()
    if "loss" in page(name).front or not page(name).functions
    for key, clause in page(name).clauses.items()
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_broken_implementation_is_caught_by_a_clause_it_breaks(mutant):
    assert kill(mutant).clause in mutant.clauses


def test_every_clause_that_a_mutant_names_exists():
    assert {clause for mutant in MUTANTS.values() for clause in mutant.clauses} <= set(clauses())


def test_every_clause_has_a_probe():
    probed = {probe.clause for loss, module in modules().items() for probe in plan(loss, module)}
    assert set(JUDGED) == probed


def test_every_probe_has_a_check():
    assert {probe.check for loss, module in modules().items() for probe in plan(loss, module)} == set(CHECKS)


def test_every_must_clause_is_broken_by_a_mutant():
    named = {clause for mutant in MUTANTS.values() for clause in mutant.clauses}
    assert {key for key, clause in JUDGED.items() if clause.level == "MUST"} <= named
