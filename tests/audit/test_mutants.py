"""The suite's own strength: every broken implementation is caught, and nothing in the trace is an orphan."""

import pytest

from audit import matrix, trace
from audit.kills import kill
from audit.pages import HOME
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.plan.plan import everything
from lossproof.spec import clauses

MUTANTS = trace.mutants()


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_broken_implementation_is_caught_by_a_clause_it_breaks(mutant):
    assert kill(mutant).clause in mutant.clauses


def test_nothing_in_the_trace_is_an_orphan():
    assert list(trace.orphans()) == []


def test_the_trace_is_up_to_date():
    assert trace.text() == (HOME / "TRACE.md").read_text(encoding="utf-8")


def test_every_clause_is_needed_to_catch_something():
    assert list(matrix.unexplained()) == []


def test_the_matrix_is_up_to_date_and_has_every_broken_implementation():
    assert matrix.text() == (HOME / "KILLS.md").read_text(encoding="utf-8")
    assert {row["mutant"]: row["clauses"] for row in matrix.measured()["mutants"]} == {
        key: list(mutant.clauses) for key, mutant in MUTANTS.items()
    }


def test_a_clause_that_nothing_needs_is_noticed(monkeypatch):
    monkeypatch.setattr(matrix, "alone", lambda: {"TM-1": ["one"]})
    monkeypatch.setattr(matrix, "reasons", lambda: {"TM-1": "stale", "XX-1": "no clause"})
    found = list(matrix.unexplained())
    assert any(line.startswith("TM-2: no broken") for line in found)
    assert any(line.startswith("TM-1: has a reason") for line in found)
    assert any(line.startswith("XX-1: ") for line in found)


def test_every_probe_asks_about_a_clause_and_has_a_check():
    assert {probe.clause for probe in everything()} <= set(clauses())
    assert {probe.check for probe in everything()} == set(CHECKS)


@pytest.mark.parametrize("part", ["checks", "breakers"])
def test_an_orphan_is_noticed(monkeypatch, part):
    monkeypatch.setattr(trace, part, dict)
    assert any(line.startswith("TM-1:") for line in trace.orphans())
