"""The suite's own strength: every broken implementation is caught, and the correct one is not accused."""

import pytest

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.kills import kill, mutants_of
from lossproof.conformance.plan import everything
from lossproof.spec import clauses, losses, page

MUTANTS = {key: mutant for loss in losses() for key, mutant in mutants_of(loss).items()}
OF_FUNCTIONS = {probe.clause for probe in everything() if probe.check == "functions"}
# What is drawn at random, and what no example can show, has tests of its own.
ELSEWHERE = {
    key: f"tests/test_{name}.py"
    for name in ("mining", "verification")
    for key in page(name).clauses
    if key not in OF_FUNCTIONS
} | {
    "CN-14": "tests/test_tables_torch.py",
    "OI-20": "tests/test_tables_torch_oim.py",
    "OI-21": "tests/test_oim.py",
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_broken_implementation_is_caught_by_a_clause_it_breaks(mutant):
    assert kill(mutant).clause in mutant.clauses


def test_every_clause_that_a_mutant_names_exists():
    assert {clause for mutant in MUTANTS.values() for clause in mutant.clauses} <= set(clauses())


def test_every_clause_has_a_probe():
    assert set(clauses()) - set(ELSEWHERE) == {probe.clause for probe in everything()}


def test_every_probe_has_a_check():
    assert {probe.check for probe in everything()} == set(CHECKS)


def test_every_must_clause_is_broken_by_a_mutant():
    named = {clause for mutant in MUTANTS.values() for clause in mutant.clauses}
    must = {key for key, clause in clauses().items() if clause.level == "MUST"}
    assert must - OF_FUNCTIONS - set(ELSEWHERE) <= named
