"""Tables and logits wider than the embeddings: the arithmetic is that of the widest, each gradient keeps its dtype."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import lossproof.reference as reference
from audit.kills import adapter
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.oracle import Oracle
from lossproof.conformance.judge.results import CONFORMANT, UNSUPPORTED, Result
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import losses
from lossproof.spec.arguments import check_as_wide, widest

TABLED = [loss for loss, page in losses().items() if set(page.tables) - {"candidates"}]  # those of every call
ROWS = np.array([[1.0, 2.0], [0.5, -1.0]], np.float32)
LABELS = np.array([0, 1])


def judged(loss: str, function: Any, *, ours: bool = False) -> list[Result]:
    session: Any = InProcess(Implementation({loss: function}), "torch", adapter("torch"))
    session.hello["modes"] = session.hello["modes"][:1]
    judge = Judge.of(session, losses_known(), ours=ours)
    return [judge.run(p, CHECKS[p.check]) for p in plan(loss, losses_known()[loss]) if p.check == "widths"]


def correct(loss: str) -> Any:
    return importlib.import_module(f"audit.mutants.{losses()[loss].name}").CORRECT


def test_every_loss_with_a_table_is_asked() -> None:
    assert TABLED == [
        "arcface_loss",
        "center_loss",
        "cosface_loss",
        "joint_loss",
        "oim_loss",
        "soft_cross_entropy_loss",
    ]


@pytest.mark.parametrize("loss", TABLED)
def test_a_correct_loss_is_not_accused(loss: str) -> None:
    found = judged(loss, correct(loss))
    assert [result.verdict for result in found] == [CONFORMANT] * 3
    assert all(result.run for result in found)


@pytest.mark.parametrize("loss", TABLED)
def test_who_refuses_a_wider_table_does_not_offer_it(loss: str) -> None:
    class OneDtype(type(correct(loss))):  # type: ignore[misc]
        def check_wide(self, rows: Any, *tables: Any) -> None:
            self.check_dtypes((rows, *tables))

    assert [result.verdict for result in judged(loss, OneDtype())] == [UNSUPPORTED] * 3


def test_our_own_backends_may_not_refuse_a_wider_table() -> None:
    class OneDtype(type(correct("center_loss"))):  # type: ignore[misc]
        def check_wide(self, rows: Any, *tables: Any) -> None:
            self.check_dtypes((rows, *tables))

    found = [finding for result in judged("center_loss", OneDtype(), ours=True) for finding in result.findings]
    assert {finding.clause for finding in found} == {"CV-26"}


def test_a_loss_in_the_dtype_of_the_embeddings_is_too_narrow() -> None:
    right = correct("center_loss")

    def narrow(embeddings: Any, labels: Any, centers: Any, *, mask: Any = None, reduction: str = "mean") -> Any:
        return right(embeddings, labels, centers, mask=mask, reduction=reduction).to(right.arithmetic(embeddings.dtype))

    (finding,) = [f for r in judged("center_loss", narrow) for f in r.findings if f.clause == "CV-18"]
    assert (finding.mismatch.where, finding.mismatch.got) == ("loss", "float32")


def test_the_budget_is_that_of_the_widest() -> None:
    inputs = {"embeddings": ROWS.astype(float), "labels": LABELS, "centers": np.array([[0.1, 0.2], [0.3, 0.4]])}
    case = Case("center_loss", inputs, "float32", {}, dtypes={"centers": "float64"})
    assert case.widest == "float64"
    assert case.dtype_of("embeddings") == "float32"
    wide, narrow = (Oracle(ours=True).expected(c) for c in (case, Case("center_loss", inputs, "float32", {})))
    assert wide.value_budget("direct") < narrow.value_budget("direct") / 1e8


def test_the_reference_takes_a_wider_table() -> None:
    centers = np.array([[0.1, 0.2], [0.3, 0.4]])
    wide = reference.center_loss(ROWS, LABELS, centers)
    assert wide == reference.center_loss(ROWS.astype(np.float64), LABELS, centers)


@pytest.mark.parametrize("narrow", ["float16", "float32"])
def test_the_reference_refuses_a_narrower_table(narrow: str) -> None:
    rows, centers = ROWS.astype(np.float64), np.ones((2, 2), narrow)
    message = f"centers must have the dtype of embeddings, float64, or a wider one, got {narrow}"
    with pytest.raises(TypeError, match=message):
        reference.center_loss(rows, LABELS, centers)


def test_embeddings_of_integers_are_blamed_and_not_the_table() -> None:
    with pytest.raises(TypeError, match=r"^embeddings must have dtype float16"):
        reference.joint_loss(ROWS, ROWS.astype(np.int64), LABELS, np.ones((2, 2)))
    with pytest.raises(TypeError, match=r"^embeddings must have dtype float16"):
        check_as_wide("logits", "float32", "embeddings", "int64")


@pytest.mark.parametrize(("one", "other"), [("float16", "bfloat16"), ("bfloat16", "float16")])
def test_the_half_formats_do_not_hold_each_other(one: str, other: str) -> None:
    with pytest.raises(TypeError, match=rf"got {one}$"):
        check_as_wide("centers", one, "embeddings", other)


def test_widest() -> None:
    assert widest("float16", "float64", "float32") == "float64"
    assert widest("bfloat16", "float32") == "float32"


def test_a_line_that_reproduces_differentiates_a_wider_table_too() -> None:
    inputs = {"embeddings": ROWS.astype(float), "labels": LABELS, "centers": np.ones((2, 2))}
    case = Case("center_loss", inputs, "float32", {}, dtypes={"centers": "float64"})
    hello = {"framework": "torch", "origin": {"center_loss": ["lossproof.backends.torch", "center_loss"]}}
    shown = line("torch", hello, case)
    assert shown.index("centers=") < shown.index("labels=")
