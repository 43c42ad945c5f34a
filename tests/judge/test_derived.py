"""The questions that come from the signature: each loss is asked what it has, and right code refuses it all."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lossproof.reference as reference
from audit.kills import adapter
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.checks.invariances import _ends
from lossproof.conformance.host.arrays import INTEGERS, decode, encode
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding
from lossproof.conformance.plan.cases.error_options import bounds
from lossproof.conformance.plan.cases.errors import wrongs
from lossproof.conformance.plan.cases.structures import ordinary
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import functions, losses
from lossproof.spec.arguments import check_label_range

LOSSES = list(losses())


def labels_of(loss: str, clause: str) -> set[str]:
    return {label for own, label in wrongs(loss) if own == clause}


def found(loss: str, function: Any, checks: set[str], *, ours: bool = False) -> list[Finding]:
    session: Any = InProcess(Implementation({loss: function}), "torch", adapter("torch"))
    session.hello["modes"] = session.hello["modes"][:1]
    judge = Judge.of(session, losses_known(), ours=ours, examples=2)
    asked = [probe for probe in plan(loss, losses_known()[loss]) if probe.check in checks]
    return [finding for probe in asked for finding in judge.run(probe, CHECKS[probe.check]).findings]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_asked_for_each_option_and_input(loss: str) -> None:
    page = losses()[loss]
    kinds = {name: given["kind"] for name, given in page.parameters.items()}
    asked = {label for _, label in wrongs(loss)}
    assert {f"unknown {name}" for name, kind in kinds.items() if kind == "choice"} <= asked
    assert {f"a word for {name}" for name, kind in kinds.items() if kind == "bool"} <= asked
    assert {f"{name} nan" for name, kind in kinds.items() if kind == "real"} <= asked
    assert {f"{name} of another type" for name in kinds} <= labels_of(loss, "CV-37")
    needed = {f"no {name}" for name, given in page.inputs.items() if not given.get("optional")}
    assert labels_of(loss, "CV-38") == needed | {"an unknown option"}


def test_what_one_loss_is_asked_another_is_asked_too() -> None:
    own = ("swap", "soft_margin")  # of triplets alone
    triplets, pairs = (
        {(c, label) for c, label in wrongs(loss) if not any(name in label for name in own) and c != "CV-38"}
        for loss in ("triplet_margin_loss", "contrastive_loss")
    )
    assert triplets <= pairs


@pytest.mark.parametrize("loss", LOSSES)
def test_a_wrong_call_differs_from_the_legal_one(loss: str) -> None:
    legal = losses_known()[loss].legal(Offer(loss, None))
    more = {n: ordinary(legal, n) for n, entry in losses()[loss].inputs.items() if entry.get("optional")}
    masked = replace(legal, inputs={**legal.inputs, **more})
    for every in wrongs(loss).values():
        for wrong in every:
            assert wrong.applied(masked).message(0) != masked.message(0), wrong


@pytest.mark.parametrize("loss", LOSSES)
def test_the_reference_and_correct_code_refuse_it_all(loss: str) -> None:
    correct = importlib.import_module(f"audit.mutants.{losses()[loss].name}").CORRECT
    assert not found(loss, correct, {"errors", "labels"})


@pytest.mark.parametrize("name", [*LOSSES, *functions()])
def test_no_label_stands_under_two_ways_of_writing(name: str) -> None:
    for (clause, label), every in wrongs(name).items():
        assert {(wrong.clause, wrong.label) for wrong in every} == {(clause, label)}


@pytest.mark.parametrize(
    ("written", "ends"),
    [
        ("[0, inf)", (0.0, np.inf, True, False)),
        ("(0, inf)", (0.0, np.inf, False, False)),
        ("[1, inf]", (1.0, np.inf, True, True)),
        ("[-1, 1]", (-1.0, 1.0, True, True)),
        ("[floor, inf]", (0.0, np.inf, True, True)),
    ],
)
def test_bounds(written: str, ends: tuple[float, float, bool, bool]) -> None:
    assert bounds({"range": written}) == ends


def test_bounds_of_no_range() -> None:
    with pytest.raises(ValueError, match="no range"):
        bounds({"range": "outside [0, C)"})


@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_ends_of_a_dtype_are_numbers_of_it_and_differ(dtype: str) -> None:
    for names in _ends(dtype):
        assert len(set(names)) == len(names)
        assert np.iinfo(dtype).min <= min(names)
        assert max(names) <= np.iinfo(dtype).max


def test_the_greatest_label_travels() -> None:
    most = np.array([2**64 - 1, 0], np.uint64)
    case = Case("oim_loss", {"labels": most}, "float32", {})
    assert case.dtype_of("labels") == "uint64"
    assert decode(encode(most, "uint64"))[0].tolist() == [2**64 - 1, 0]


def test_the_reference_does_not_take_the_greatest_label_for_the_label_of_none() -> None:
    rows, table, labels = np.ones((2, 1)), np.ones((2, 1)), np.array([0, 2**64 - 1], np.uint64)
    with pytest.raises(ValueError, match="labels must be in"):
        reference.oim_loss(rows, labels, table, table)


def test_labels_out_of_range_name_the_mask() -> None:
    message = r"^labels must be in \[0, 4\], got -100; rows that take no part are named by mask$"
    with pytest.raises(ValueError, match=message):
        check_label_range("labels", -100, 2, 0, 4)
    with pytest.raises(ValueError, match=r"^head must be in \[0, 4\], got 7$"):
        check_label_range("head", 7, 7, 0, 4)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"margin": True}, "margin must be a real number, got True"),
        ({"swap": 1}, "swap must be True or False, got 1"),
        ({"reduction": 1}, "reduction must be one of 'none', 'sum', 'mean', 'mean_nonzero', got 1"),
        ({"marjin": 0.2}, "unexpected keyword argument 'marjin'"),
    ],
)
def test_types_of_options(option: dict[str, Any], message: str) -> None:
    row = np.ones((1, 1))
    with pytest.raises((TypeError, ValueError), match=message):
        reference.triplet_margin_loss(row, row, row, **option)
