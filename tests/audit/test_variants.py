"""Correct implementations that are written differently on purpose are not accused."""

import pytest

pytest.importorskip("torch")

from audit.kills import adapter
from audit.mutants.variants import VARIANTS
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan


@pytest.mark.parametrize("name", VARIANTS)
def test_a_correct_variant_is_not_accused(name):
    variant, known = VARIANTS[name], losses_known()
    (loss,) = variant.losses
    session = InProcess(variant, "torch", adapter())
    session.hello["modes"] = ["eager"]
    judge = Judge.of(session, known, ours=False, seed=78, examples=1)
    results = [judge.run(p, CHECKS[p.check]) for p in plan(loss, known[loss]) if p.check != "compiled"]
    assert [finding for result in results for finding in result.findings] == []
