"""Correct implementations that are written differently on purpose are not accused."""

import pytest

pytest.importorskip("torch")

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.inprocess import InProcess
from lossproof.conformance.judge import Judge
from lossproof.conformance.kills import adapter
from lossproof.conformance.mutants.variants import VARIANTS
from lossproof.conformance.offer import offers
from lossproof.conformance.oracle import Oracle
from lossproof.conformance.plan import modules, plan


@pytest.mark.parametrize("name", VARIANTS)
def test_a_correct_variant_is_not_accused(name):
    variant, known = VARIANTS[name], modules()
    (loss,) = variant.losses
    session = InProcess(variant, "torch", adapter())
    session.hello["modes"] = ["eager"]
    judge = Judge(session, offers(session, known, ours=False), Oracle(ours=False), known, 78, 1, grade=variant.grade)
    results = [judge.run(p, CHECKS[p.check]) for p in plan(loss, known[loss]) if p.check != "compiled"]
    assert [finding for result in results for finding in result.findings] == []
