"""What the check of weights must not take for a fault."""

import numpy as np
import pytest

import lossproof.reference as reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan


def oim_loss(embeddings, labels, lookup_table, queue, weights=None):
    """Give the mean of the terms; a weight that is none makes a term NaN, and is not looked at where there is none."""
    w = np.ones(len(labels)) if weights is None else weights
    wild = ~(np.isfinite(w) & (w >= 0))
    value = reference.oim_loss(embeddings, labels, lookup_table, queue, weights=np.where(wild, 0, w), unlabelled=-1)
    return np.where(np.any(wild & (labels >= 0)), np.nan, value)


@pytest.mark.parametrize("seed", range(12))
def test_the_weight_of_a_row_without_an_identity_may_be_anything(seed):
    fixed = {"reduction": "mean", "unlabelled": -1}
    session, known = InProcess(Implementation({"oim_loss": oim_loss}, fixed=fixed), "numpy"), losses_known()
    judge = Judge.of(session, known, ours=False, seed=seed, examples=4)
    (probe,) = [p for p in plan("oim_loss", known["oim_loss"]) if (p.clause, p.label) == ("CV-46", "wild weights")]
    assert judge.run(probe, CHECKS[probe.check]).findings == []
