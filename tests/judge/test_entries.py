"""What a person reads of a run: each cause once, mathematics first, and the clause that says most of it first."""

from dataclasses import replace

import numpy as np
import pytest

from audit.kills import mutants, probes, results
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.results import CONFORMANT, ERRORED, KNOWN, NONCONFORMANT, Finding, Mismatch, Result
from lossproof.conformance.plan.probe import Options, Probe
from lossproof.conformance.report import known_failures
from lossproof.conformance.report.entries import entries

LOSS = "semi_hard_triplet_loss"
ROWS = {"embeddings": np.array([[0.0], [1.0], [3.0]]), "labels": np.array([0, 0, 1])}


def case(**changed):
    return replace(Case(LOSS, ROWS, "float64", {"margin": 1.0}, order=0), **changed)


def wrong(kind="value", where="loss", got=2.0, **more):
    return Mismatch(kind, where, got, 1.0, 1e-9, 1e9, **more)


RAISED = Mismatch("raised", "the call", "raised KeyError: 'x' at 0x7f00", "a loss", 0.0, np.inf, errored=True)


def result(check, probed, found="", mismatch=None, asked=None, label="", loss=LOSS, **options):
    """Return the result of one probe: conformant, or with a finding of a clause (its own unless another is given)."""
    probe = Probe(loss, check, probed, label, options=Options(**options))
    if mismatch is None:
        return Result(probe, CONFORMANT, run=1)
    named = label if check in ("errors", "interface") else ""
    finding = Finding(loss, found or probed, named, check, mismatch, asked or case())
    return Result(probe, ERRORED if mismatch.errored else NONCONFORMANT, [finding], run=1)


def shown(*given):
    """Return the ids of each entry, the heading first."""
    return [[entry.finding.id, *(finding.id for finding in entry.also)] for entry in entries(given)]


def other(**inputs):
    return case(inputs={**ROWS, **inputs})


FARTHER = other(embeddings=np.array([[0.0], [1.0], [4.0]]))

# One cause, one entry


def test_one_smallest_call_with_one_wrong_answer_is_one_entry():
    given = [result("value", "SH-1", mismatch=wrong()), result("value", "PW-1", mismatch=wrong())]
    assert shown(*given) == [["SH-1", "PW-1"]]


@pytest.mark.parametrize(
    "changed",
    [
        {"asked": FARTHER},
        {"asked": case(parameters={"margin": 2.0})},
        {"asked": case(mode="compiled")},
        {"asked": case(dtype="float32")},
        {"asked": case(dtypes={"labels": "int32"})},
        {"mismatch": wrong(got=3.0)},
        {"mismatch": wrong(where="loss[0]")},
    ],
    ids=["inputs", "parameters", "mode", "dtype", "dtype of one input", "answer", "place"],
)
def test_what_differs_in_anything_is_an_entry_of_its_own(changed):
    given = [result("value", "SH-1", mismatch=wrong()), result("value", "PW-1", **{"mismatch": wrong(), **changed})]
    assert shown(*given) == [["SH-1"], ["PW-1"]]


def test_two_losses_share_no_entry():
    given = [
        result("value", "PW-1", mismatch=RAISED),
        result("value", "PW-1", mismatch=RAISED, loss="batch_all_triplet_loss"),
    ]
    assert len(entries(given)) == 2


def test_what_raises_everywhere_is_one_entry_with_the_number_of_probes_that_it_stopped():
    messages = [replace(RAISED, got=f"raised KeyError: 'x' at 0x7f{i}") for i in range(4)]
    clauses = ("CV-21", "CV-7", "SH-4", "CV-23")
    calls = [case(parameters={"margin": float(i)}) for i in range(4)]
    given = [result("value", c, mismatch=m, asked=a) for c, m, a in zip(clauses, messages, calls, strict=True)]
    (entry,) = entries(given)
    assert entry.probes == 4
    assert entry.finding.verdict == ERRORED
    assert {entry.finding.id, *(finding.id for finding in entry.also)} == set(clauses)


def test_two_errors_are_two_entries():
    given = [
        result("value", "SH-1", mismatch=RAISED),
        result("value", "PW-1", mismatch=replace(RAISED, got="raised no")),
    ]
    assert len(entries(given)) == 2


def test_of_what_stops_calls_the_clause_of_the_page_that_it_stops_most_is_the_heading():
    given = [result("value", "CV-5", mismatch=RAISED)]
    given += [result("value", "SH-3", mismatch=RAISED)]
    given += [result("value", "SH-4", mismatch=RAISED, label=label) for label in ("", "masked")]
    assert shown(*given) == [["SH-4", "SH-3", "CV-5"]]


def test_of_what_stops_plain_calls_the_heading_is_what_says_that_they_are_legal():
    given = [result("examples", "SH-4", mismatch=RAISED), result("value", "SH-1", "CV-23", RAISED)]
    assert shown(*given) == [["CV-23", "SH-4"]]


def test_a_loss_where_an_error_is_as_right_as_nan_shares_its_clause():
    kept = [replace(wrong(got=got), want="an error, or nan") for got in (1.0, 2.0)]
    given = [
        result("errors", "CV-33", mismatch=m, asked=case(mode=mode), label=mode)
        for m, mode in zip(kept, ("eager", "compiled"), strict=True)
    ]
    assert shown(*given) == [["CV-33/eager", "CV-33/compiled"]]


def test_a_missing_check_of_arguments_is_one_entry_whatever_it_lets_through():
    accepted = wrong("accepted", "the call")
    given = [
        result("errors", "CV-26", mismatch=accepted, label=label, asked=case(dtypes={"embeddings": label}))
        for label in ("int64", "int32")
    ]
    given += [result("errors", "CV-28", mismatch=accepted, label="margin -1", asked=case(parameters={"margin": -1.0}))]
    assert shown(*given) == [["CV-26/int64", "CV-26/int32"], ["CV-28/margin -1"]]


def test_results_of_a_wrong_dtype_are_one_entry():
    given = [
        result("interface", "CV-18", mismatch=wrong("dtype", got="float16"), label=d, asked=case(dtype=d))
        for d in ("float32", "float16")
    ]
    assert shown(*given) == [["CV-18/float32", "CV-18/float16"]]


def test_a_finding_of_two_probes_is_shown_once_by_the_call_that_was_drawn():
    given = [
        result("examples", "SH-3", mismatch=wrong(got=9.0), asked=FARTHER),
        result("value", "SH-3", mismatch=wrong()),
    ]
    (entry,) = entries(given)
    assert entry.finding.check == "value"
    assert entry.probes == 2


def test_advice_is_ordered_alike_and_never_known():
    advised = result("precision", "CV-19", mismatch=wrong())
    advised.findings, advised.advice, advised.verdict = [], advised.findings, KNOWN
    (entry,) = entries([advised], "advice")
    assert (entry.finding.id, entry.known) == ("CV-19", False)


# Which comes first


def test_value_comes_before_gradient_and_gradient_before_the_interface():
    given = [
        result("errors", "CV-28", mismatch=wrong("accepted", "the call")),
        result("gradient", "SH-7", mismatch=wrong("gradient", "gradient of embeddings[0]")),
        result("value", "SH-4", mismatch=wrong()),
    ]
    assert shown(*given) == [["SH-4"], ["SH-7"], ["CV-28"]]


def test_a_label_that_is_no_index_is_a_question_of_arguments():
    given = [
        result("labels", "CV-33", mismatch=wrong()),
        result("gradient", "SH-7", mismatch=wrong("gradient", "gradient of embeddings[0]")),
    ]
    assert shown(*given) == [["SH-7"], ["CV-33"]]


def test_a_clause_of_values_that_breaks_in_a_gradient_alone_comes_with_the_gradients():
    given = [
        result("reductions", "CV-2", mismatch=wrong("gradient", "gradient of embeddings[0]")),
        result("value", "SH-3", mismatch=wrong()),
    ]
    assert shown(*given) == [["SH-3"], ["CV-2"]]


def test_the_formula_comes_first_where_plain_drawn_calls_are_wrong():
    given = [result("value", "SH-3", mismatch=wrong(), asked=FARTHER), result("value", "SH-1", mismatch=wrong())]
    assert shown(*given) == [["SH-1"], ["SH-3"]]


def test_an_example_of_the_formula_comes_last_where_plain_drawn_calls_are_right():
    given = [
        result("examples", "SH-1", mismatch=wrong()),
        result("examples", "SH-2", mismatch=wrong(), asked=FARTHER),
        result("value", "SH-1"),
    ]
    assert shown(*given) == [["SH-2"], ["SH-1"]]


def test_a_clause_of_which_plain_drawn_calls_speak_comes_before_the_formula():
    given = [
        result("examples", "SH-1", mismatch=wrong(got=7.0), asked=FARTHER),
        result("value", "SH-1", "SH-3", wrong()),
    ]
    assert shown(*given) == [["SH-3"], ["SH-1"]]


def test_what_a_drawn_call_singles_out_comes_before_what_an_example_happens_to_meet():
    given = [result("examples", "SH-4", mismatch=wrong(), asked=FARTHER), result("value", "DI-8", mismatch=wrong())]
    assert shown(*given) == [["DI-8"], ["SH-4"]]


def test_a_default_is_the_cause_only_where_calls_with_every_option_are_right():
    given = [
        result("value", "SH-6", mismatch=wrong(), asked=FARTHER, structure={"defaults": True}),
        result("reductions", "CV-3", mismatch=wrong()),
    ]
    assert shown(*given) == [["CV-3"], ["SH-6"]]
    assert shown(given[0], result("examples", "SH-1", mismatch=wrong()), result("value", "SH-1"))[0] == ["SH-6"]


@pytest.mark.parametrize(
    ("check", "clause", "mismatch"),
    [
        ("compiled", "CV-22", wrong()),
        ("precision", "CV-15", wrong()),
        ("reductions", "CV-4", replace(wrong(), excess=3.0)),
        ("nan", "CV-10", wrong()),
    ],
    ids=["modes", "precision", "rounding under another name", "NaN"],
)
def test_calls_with_ordinary_numbers_come_before(check, clause, mismatch):
    given = [result(check, clause, mismatch=mismatch, asked=FARTHER), result("value", "SH-4", mismatch=wrong())]
    assert shown(*given) == [["SH-4"], [clause]]


def test_a_broken_relation_between_two_calls_comes_before_the_formula_that_it_breaks_too():
    given = [result("value", "SH-1", mismatch=wrong(), asked=FARTHER), result("invariances", "SH-4", mismatch=wrong())]
    assert shown(*given) == [["SH-4"], ["SH-1"]]


def test_a_formula_at_which_another_probe_arrives_is_a_cause_though_its_own_probe_drew_nothing_wrong():
    given = [
        result("boundary", "SH-2", mismatch=wrong(), asked=FARTHER),
        result("value", "SH-1"),
        result("value", "SH-5", "SH-1", wrong()),
    ]
    assert shown(*given) == [["SH-1"], ["SH-2"]]


def test_of_two_clauses_about_nan_that_of_the_page_comes_first():
    given = [result("nan", "CV-10", mismatch=wrong(), asked=FARTHER), result("examples", "SH-10", mismatch=wrong())]
    assert shown(*given) == [["SH-10"], ["CV-10"]]


def test_another_answer_to_the_same_call_comes_before_everything():
    given = [result("value", "SH-1", mismatch=wrong(), asked=FARTHER), result("determinism", "CV-21", mismatch=wrong())]
    assert shown(*given) == [["CV-21"], ["SH-1"]]


def test_what_should_hold_comes_after_what_must():
    given = [
        result("precision", "CV-19", mismatch=wrong()),
        result("errors", "CV-28", mismatch=wrong("accepted", "the call")),
    ]
    assert shown(*given) == [["CV-28"], ["CV-19"]]


# Known failures


def declared(*ids):
    return [{"loss": LOSS, "finding": name, "reason": "known"} for name in ids]


def of_one_cause():
    return [result("value", "SH-1", mismatch=wrong()), result("value", "PW-1", mismatch=wrong())]


def test_each_merged_finding_can_be_declared():
    given = of_one_cause()
    known_failures.apply(declared("SH-1", "PW-1"), given)
    (entry,) = entries(given)
    assert (entry.known, entry.finding.id, entry.also[0].id) == (True, "SH-1", "PW-1")
    assert known_failures.stale(declared("SH-1", "PW-1"), given) == []


@pytest.mark.parametrize("name", ["SH-1", "PW-1"])
def test_what_is_not_declared_stands_apart_from_what_is(name):
    given = of_one_cause()
    known_failures.apply(declared(name), given)
    assert {(entry.finding.id, entry.known) for entry in entries(given)} == {
        ("SH-1", name == "SH-1"),
        ("PW-1", name == "PW-1"),
    }


def test_a_declared_failure_that_is_mended_is_stale_though_its_cause_is_there_under_another_name():
    given = [of_one_cause()[0], result("value", "PW-1")]
    assert known_failures.stale(declared("SH-1", "PW-1"), given) == declared("PW-1")


# The broken implementations of which a generic clause came first


@pytest.mark.parametrize(
    ("mutant", "heading"),
    [
        ("sh-not-strict", "SH-2"),
        ("sh-nearest-fallback", "SH-3"),
        ("swap-by-maximum", "TM-5"),
        ("ba-self", "BA-2"),
        ("ci-inner-product", "CI-3"),
        ("af-raw-embeddings", "AF-2"),
        ("af-default-degrees", "AF-17"),
        ("jo-squared", "JO-3"),
        ("cn-one-plus-n", "CN-8"),
    ],
)
def test_the_first_entry_is_headed_by_the_clause_that_the_bug_breaks(mutant, heading):
    broken = mutants()[mutant]
    asked = [p for p in probes(broken) if p.check in ("examples", "value", "gradient", "boundary")]
    assert entries(results(broken, asked, 0, examples=1))[0].finding.id == heading
