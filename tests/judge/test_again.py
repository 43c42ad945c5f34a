"""Nobody is accused of what was compiled in a hurry: a finding is asked once more, of code as its users have it."""

from dataclasses import replace

import numpy as np
import pytest

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.frameworks.numpy import Numpy
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import CONFORMANT, NONCONFORMANT
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.reference import contrastive_loss

LOSS = "contrastive_loss"


class Hurried(Numpy):
    """Coarse where it is asked for the first time."""

    quick = True

    def run(self, ask):
        found = super().run(ask)
        value, dtype = found["value"]
        return found if ask.again else {**found, "value": (value * (1 + 2.0**-20), dtype)}


def judged(function, adapter):
    session = InProcess(Implementation({LOSS: function}), "numpy", adapter)
    judge = Judge.of(session, losses_known(), ours=False, examples=1)
    probe = next(p for p in plan(LOSS, losses_known()[LOSS]) if (p.check, p.clause) == ("value", "CO-1"))
    return judge.run(probe, CHECKS[probe.check])


def wrong(x1, x2, dissimilar, *, margin=1.0, reduction="mean"):
    return 1.1 * contrastive_loss(x1, x2, dissimilar, margin=margin, reduction=reduction)


def test_what_only_hurried_code_gets_wrong_is_no_finding():
    assert judged(contrastive_loss, Hurried("cpu")).verdict == CONFORMANT


def test_what_is_wrong_again_is_one():
    result = judged(wrong, Hurried("cpu"))
    assert (result.verdict, result.findings[0].case.again) == (NONCONFORMANT, False)


def test_who_does_not_hurry_is_asked_once():
    adapter = Hurried("cpu")
    adapter.quick = False
    assert judged(contrastive_loss, adapter).verdict == NONCONFORMANT


def test_jax_compiles_as_its_users_do_where_it_is_asked_again():
    pytest.importorskip("jax")
    from lossproof.backends import jax as ours
    from lossproof.conformance.host.frameworks.jax import Jax

    adapter = Jax("cpu")
    adapter.quick = {"compiler_options": {"no_such_option": 1}}
    session = InProcess(Implementation({LOSS: ours.contrastive_loss}), "jax", adapter)
    rows = {"x1": np.zeros((1, 2)), "x2": np.ones((1, 2)), "dissimilar": np.array([True])}
    case = Case(LOSS, rows, "float32", {}, "captured", 0)
    first, second = session.ask(case), session.ask(replace(case, again=True))
    assert "no_such_option" in first.error["message"]
    assert second.value == pytest.approx(0, abs=1)
