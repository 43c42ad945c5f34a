"""Implementations that are wrong in whole kinds of calls: the judge says so, and no probe ends it."""

import pytest
import torch

import lossproof.backends.torch as backend
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.first_questions import NoPlainCall
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan, plan_of_function
from lossproof.spec import functions, losses

NEVER = {"compiled", "errors", "refusals", "vectors"}  # right errors; modes, which are slow


def few_bits(given):
    """Whether all floats of a call are multiples of 1/1024, as rows are at kinks."""
    floats = [value for value in given.values() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    return all(bool((row * 1024 == (row * 1024).round()).all()) for row in floats)


def scaled(value, given):
    return 1.5 * value + 0.25


def wrong_at_kinks(value, given):
    return value + 1 if few_bits(given) else value


def backwards_at_kinks(value, given):
    return 2 * value.detach() - value if few_bits(given) else value


def without_gradient(value, given):
    return value.detach()


def nan(value, given):
    return value * torch.nan


def with_an_axis(value, given):
    return value[None]


def of_other_rows(value, given):
    return torch.cat([value.reshape(-1), value.reshape(-1)[:1]])


def refused(value, given):
    raise ValueError("never")


def broken_down(value, given):
    raise RuntimeError("out of order")


def no_tensor(value, given):
    return "0.5"


SUBTLE = (scaled, wrong_at_kinks, backwards_at_kinks, without_gradient)
PLAIN = (nan, with_an_axis, of_other_rows)
SILENT = (refused, broken_down, no_tensor)  # foreign code that answers no plain call is not judged at all
BOUND = [
    *((wrong, ours) for wrong in SUBTLE for ours in (False, True)),
    *((wrong, False) for wrong in PLAIN),
    *((wrong, True) for wrong in SILENT),
]


def long(probe):
    """Whether a probe repeats another with hundreds of rows, or with other options of a second derivative."""
    return "many rows" in probe.label or (probe.check == "second_order" and probe.label != "")


def judged(loss, wrong, ours):
    """Return the results of the whole plan."""

    def function(**given):
        return wrong(getattr(backend, loss)(**given), given)

    session = InProcess(Implementation({loss: function}), "torch")
    session.hello["modes"] = ["eager"]
    known = losses_known()
    judge = Judge.of(session, known, ours=ours, examples=1, fills=2)
    probes = [p for p in plan(loss, known[loss]) if p.check not in NEVER and (wrong is nan or not long(p))]
    return [judge.run(probe, CHECKS[probe.check]) for probe in probes]


def pytest_generate_tests(metafunc):
    """Pair losses with kinds of wrong code: a third of all, in which each meets many others, or with a flag all."""
    if {"loss", "wrong", "ours"} <= set(metafunc.fixturenames):
        third = 1 if metafunc.config.getoption("every_pair") else 3
        pairs = [
            (loss, *kind)
            for turn, loss in enumerate(losses())
            for place, kind in enumerate(BOUND)
            if (turn + place) % third == 0
        ]
        metafunc.parametrize(("loss", "wrong", "ours"), pairs)


def test_no_probe_ends_the_judge_and_the_fault_of_a_loss_is_found(loss, wrong, ours):
    results = judged(loss, wrong, ours)
    assert any(result.findings for result in results)


@pytest.mark.parametrize("wrong", SILENT)
@pytest.mark.parametrize("loss", losses())
def test_foreign_code_that_answers_no_plain_call_is_not_judged(loss, wrong):
    with pytest.raises(NoPlainCall, match=f"{loss} answers no plain call"):
        judged(loss, wrong, ours=False)


@pytest.mark.parametrize("wrong", [scaled, *PLAIN, *SILENT])
@pytest.mark.parametrize("name", [name for name in functions() if hasattr(backend, name)])
def test_no_probe_ends_the_judge_and_the_fault_of_a_function_is_found(name, wrong):
    def function(**given):
        found = getattr(backend, name)(**given)
        parts = found if isinstance(found, tuple) else (found,)
        changed = tuple(wrong(part, given) if part.is_floating_point() else part for part in parts)
        return changed if isinstance(found, tuple) else changed[0]

    session = InProcess(Implementation({name: function}), "torch")
    judge = Judge.of(session, losses_known(), ours=False, examples=2)
    found = [judge.run(probe, CHECKS[probe.check]) for probe in plan_of_function(name)]
    assert any(result.findings for result in found) or name in ("triplet_masks", "classify_triplets")  # no floats
