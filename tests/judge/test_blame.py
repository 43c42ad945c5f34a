"""Which clause the smallest case of a failure names, where the plain call is wrong and another probe meets it."""

from dataclasses import replace

import numpy as np
import pytest

import lossproof.backends.torch as backend
import lossproof.reference as reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import clauses

LOSS = "triplet_margin_loss"


def findings(session, loss, checks):
    """Return what the probes of some checks find."""
    judge = Judge.of(session, losses_known((loss,)), ours=False, examples=2)
    probes = [probe for probe in plan(loss, judge.losses[loss]) if probe.check in checks]
    return [finding for probe in probes for finding in judge.run(probe, CHECKS[probe.check]).findings]


@pytest.mark.parametrize("loss", [LOSS, "contrastive_loss"])
def test_a_clause_of_what_is_accepted_says_nothing_of_numbers_that_are_wrong_in_plain_calls(loss):
    def scaled(**given):
        return 1.5 * getattr(backend, loss)(**given) + 0.25

    session = InProcess(Implementation({loss: scaled}), "torch")
    session.hello["modes"] = ["eager"]
    found = findings(session, loss, ["interface"])
    assert found
    assert not [f.id for f in found if f.mismatch.kind == "value" and clauses()[f.clause].kind == "interface"]


def test_a_clause_of_what_is_accepted_is_named_where_plain_calls_are_right():
    def one_axis(anchor, **given):
        value = getattr(backend, LOSS)(anchor, **given)
        return value + 1 if anchor.ndim == 1 else value

    session = InProcess(Implementation({LOSS: one_axis}), "torch")
    session.hello["modes"] = ["eager"]
    assert "TM-2" in [finding.clause for finding in findings(session, LOSS, ["interface"])]


class NanInEager(InProcess):
    """Gradients of plain calls are NaN; those of the mode for general cases, as of compiled code, are right."""

    def ask(self, case):
        answer = super().ask(case)
        if case.mode != "eager":
            return answer
        return replace(answer, gradients={name: np.full_like(a, np.nan) for name, a in answer.gradients.items()})


def test_a_gradient_that_is_nan_in_plain_calls_is_named_by_the_clause_of_the_gradient():
    session = NanInEager(Implementation({LOSS: getattr(reference, LOSS)}), "numpy")
    session.hello["modes"] = ["strided", "eager"]
    assert {finding.clause for finding in findings(session, LOSS, ["compiled"])} == {"TM-7"}


def test_nan_over_a_batch_of_no_rows_is_a_mean_over_nothing_whichever_probe_meets_it():
    def loss(embeddings, labels, class_weights, *, scale=64.0, margin=0.35):
        terms = backend.cosface_loss(embeddings, labels, class_weights, scale=scale, margin=margin, reduction="none")
        return terms.sum() / len(terms) if len(terms) else terms.sum() * float("nan")

    session = InProcess(Implementation({"cosface_loss": loss}), "torch")
    session.hello["modes"] = ["eager"]
    found = findings(session, "cosface_loss", ["interface", "value"])
    assert {(f.mismatch.kind, f.clause) for f in found} == {("value", "CV-5")}
    assert "interface" in {f.check for f in found}
