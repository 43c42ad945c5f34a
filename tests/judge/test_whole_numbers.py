"""A number of a program on the protocol that is whole is an integer, whatever its program takes it for: CV-37."""

import pytest

import lossproof.reference as reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan

LOSS = "batch_all_triplet_loss"


def whole_is_enough(embeddings, labels, max_positives=None, cotangent=None):
    if isinstance(max_positives, float) and max_positives.is_integer():
        max_positives = int(max_positives)
    return reference.batch_all_triplet_loss(embeddings, labels, max_positives=max_positives, cotangent=cotangent)


@pytest.mark.parametrize("program", [True, False])
def test_a_whole_number_is_an_integer_to_a_program_and_not_to_a_function(program):
    session, known = InProcess(Implementation({LOSS: whole_is_enough}), "numpy"), losses_known()
    if program:
        del session.hello["origin"]
    judge = Judge.of(session, known, ours=False, seed=0, examples=1)
    label = "max_positives of another type"
    (probe,) = [p for p in plan(LOSS, known[LOSS]) if (p.clause, p.label) == ("CV-37", label)]
    found = judge.run(probe, CHECKS[probe.check])
    assert found.planned
    assert bool(found.findings or found.advice) == (not program)
