"""Miniatures of bad tools: each gets the verdict that it deserves, from the whole plan of its loss."""

import pytest

from audit.kills import adapter
from audit.mutants.tools import NOTHING, REFUSED, TOOLS
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import TargetError
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.first_questions import NoPlainCall
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan

LOSS = "triplet_margin_loss"


def judged(tool):
    """Return the findings of every probe but those that compile."""
    session, known = InProcess(tool.make(), "torch", adapter()), losses_known()
    judge = Judge.of(session, known, ours=False)
    probes = [p for p in plan(LOSS, known[LOSS]) if p.check != "compiled"]
    return [finding for probe in probes for finding in judge.run(probe, CHECKS[probe.check]).findings]


def worst(tool):
    """Return the verdict of a tool, or why there is none."""
    try:
        verdicts = {finding.verdict for finding in judged(tool)}
    except NoPlainCall:
        return NOTHING
    except TargetError:
        return REFUSED
    return "nonconformant" if "nonconformant" in verdicts else "errored" if verdicts else "conformant"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.id)
def test_verdict(tool):
    assert worst(tool) == tool.verdict


def test_ids_are_unique():
    assert len({tool.id for tool in TOOLS}) == len(TOOLS)
