"""Faults that no broken implementation of the suite has, so that each place of the judge finds one (conftest.py)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lossproof.backends.torch as backend
import lossproof.reference as reference
from audit.kills import adapter
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.case import Answer
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.ranks import Ranks
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan, plan_of_function
from lossproof.spec import losses

LOSS = "triplet_margin_loss"


def found(function, name, framework, check, ours=False):
    """Return kind and clause of what the probes of one check find."""
    session, known = InProcess(Implementation({name: function}), framework), losses_known()
    judge = Judge.of(session, known, ours=ours, examples=2)
    asked = plan(name, known[name]) if name in losses() else plan_of_function(name)
    results = [judge.run(probe, CHECKS[check]) for probe in asked if probe.check == check]
    return {(f.mismatch.kind, f.mismatch.where, f.clause) for result in results for f in result.findings}


def test_illegal_calls_that_are_answered_with_a_word():
    def worded(**given):
        try:
            return getattr(backend, LOSS)(**given)
        except (TypeError, ValueError):
            return "wrong"

    assert ("failure", "the call", "CV-28") in found(worded, LOSS, "torch", "errors")


def test_a_legal_mask_that_is_refused():
    def maskless(mask=None, **given):
        if mask is not None:
            raise ValueError("mask must be left out")
        return getattr(reference, LOSS)(**given)

    assert ("raised", "the call", "CV-23") in found(maskless, LOSS, "numpy", "errors")


def cut(**given):
    """Return gradients of another shape, for dyadic rows alone."""
    got = getattr(reference, LOSS)(**given)
    dyadic = all((a * 1024 == np.rint(a * 1024)).all() for a in given.values() if isinstance(a, np.ndarray))
    return (got[0], {n: g[..., None] for n, g in got[1].items()}) if isinstance(got, tuple) and dyadic else got


@pytest.mark.parametrize("ours", [False, True])
def test_gradients_of_another_shape_at_kinks(ours):
    assert ("failure", "gradient of anchor", "CV-13") in found(cut, LOSS, "numpy", "boundary", ours)


@pytest.mark.parametrize("ours", [False, True])
def test_gradients_of_another_shape_in_worked_examples(ours):
    assert ("gradient", "gradient of anchor", "TM-1") in found(cut, LOSS, "numpy", "examples", ours)


def test_gradients_of_another_dtype():
    def wide(**given):
        got = getattr(reference, LOSS)(**given)
        dtype = given["anchor"].dtype if given["anchor"].dtype != np.float16 else np.float32
        return (dtype.type(got[0]), got[1]) if isinstance(got, tuple) else dtype.type(got)

    assert ("dtype", "gradient of anchor", "CV-18") in found(wide, LOSS, "numpy", "interface")


def test_results_that_are_one_too_few():
    def short(**given):
        return backend.update_oim_memory(**given)[:2]

    got = found(short, "update_oim_memory", "torch", "functions")
    assert {(kind, where) for kind, where, _ in got} == {("failure", "number of results")}


def test_results_that_are_others_the_second_time():
    calls = []

    def restless(**given):
        calls.append(1)
        return backend.update_centers(**given) + 2.0**-40 * (len(calls) % 7)

    assert ("value", "the results", "CV-21") in found(restless, "update_centers", "torch", "function_purity")


def test_nothing_is_found_in_right_functions():
    assert not found(backend.update_centers, "update_centers", "torch", "function_purity")
    assert not found(backend.triplet_margin_loss, LOSS, "torch", "errors")


def test_a_backend_of_this_project_that_is_no_one_graph():
    def broken_up(**given):
        torch._dynamo.graph_break()
        return getattr(backend, LOSS)(**given)

    assert ("failure", "the call", "CV-22") in found(broken_up, LOSS, "torch", "compiled", ours=True)
    assert not found(broken_up, LOSS, "torch", "compiled")  # nobody else has to be


def test_a_mean_that_stays_a_number_with_a_negative_weight():
    def mean_alone(anchor, positive, negative, margin=1.0, mask=None, weights=None):
        rows = (anchor, positive, negative)
        terms = backend.triplet_margin_loss(*rows, margin=margin, mask=mask, reduction="none")
        part = torch.ones_like(terms) if mask is None else mask.to(terms.dtype)
        w = (
            part
            if weights is None
            else torch.where(part > 0, weights.detach().to(terms.dtype).nan_to_num(1.0, 1.0), 0.0)
        )
        total = w.sum()
        return (w * terms).sum() / torch.where(total == 0, 1.0, total)

    assert ("value", "loss", "CV-46") in found(mean_alone, LOSS, "torch", "weights")


def of_devices(session, loss, check):
    """Return what the probes of one check find over processes, which a loss spreads its rows over."""
    session.hello["modes"] = ["eager", *Ranks().modes]
    judge, known = Judge.of(session, losses_known(), ours=False, examples=2), losses_known()
    probes = [probe for probe in plan(loss, known[loss]) if probe.check == check and probe.clause.startswith("DD-")]
    return [finding for probe in probes for finding in judge.run(probe, CHECKS[check]).findings]


class Apart(InProcess):
    """A batch over processes in which a row that stands twice costs 1 more."""

    def ask(self, case):
        answer = super().ask(replace(case, split=(), mode="eager"))
        rows = case.inputs["embeddings"]
        twice = case.split and len(np.unique(rows, axis=0)) < len(rows)
        return replace(answer, value=answer.value + 1) if twice and answer.value is not None else answer


def test_rows_that_hold_the_same_numbers_are_rows_of_their_own():
    loss = "batch_hard_triplet_loss"
    session = Apart(Implementation({loss: backend.batch_hard_triplet_loss}, ranks=Ranks()), "torch", adapter("torch"))
    assert "DD-12" in [finding.clause for finding in of_devices(session, loss, "devices")]


class Late(InProcess):
    """Another process never comes to an exchange."""

    def ask(self, case):
        late = Answer(error={"type": "RankLate", "message": "waited in vain for another process"})
        return late if case.split else super().ask(case)


def test_a_process_that_does_not_come_is_asked_no_second_time():
    session = Late(Implementation({LOSS: backend.triplet_margin_loss}, ranks=Ranks()), "torch", adapter("torch"))
    found = of_devices(session, LOSS, "value")
    assert {finding.clause for finding in found} == {"DD-15"}
