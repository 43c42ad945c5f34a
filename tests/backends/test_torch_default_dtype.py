"""`torch.set_default_dtype` says what new tensors are, and nothing of given ones: no bit of a loss changes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from audit.kills import adapter  # noqa: E402
from lossproof.conformance.host.implementation import resolve  # noqa: E402
from lossproof.conformance.host.inprocess import InProcess  # noqa: E402
from lossproof.conformance.judge.judge import Judge  # noqa: E402
from lossproof.conformance.plan.cases.structures import generator  # noqa: E402
from lossproof.conformance.plan.covering import covering  # noqa: E402
from lossproof.conformance.plan.plan import losses_known  # noqa: E402
from lossproof.spec import losses  # noqa: E402

STRUCTURES = 12  # of a loss


def cases(judge, loss):
    """Yield plain calls of a loss that differ in every option, dtype and input."""
    offer, own = judge.offers[loss], judge.losses[loss]
    choices = {name: offer.choices(name, values) or [offer.neutral(name)] for name, values in own.space.items()}
    choices |= {"mode": ["eager"], "order": [1]}
    for structure in covering(choices, lambda drawn: own.normal(drawn, offer), STRUCTURES, generator(0, loss)):
        yield own.build(structure, offer, 0, 0)


def under(dtype, session, case):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return session.ask(case)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("loss", losses())
def test_the_default_dtype_changes_no_bit(loss):
    session = InProcess(resolve("torch", (loss,)), "torch", adapter("torch"))
    asked = list(cases(Judge.of(session, losses_known((loss,)), ours=True), loss))
    assert len(asked) > 5
    for case in asked:
        plain = session.ask(case)
        for dtype in (torch.float64, torch.bfloat16):
            found = under(dtype, session, case)
            assert (found.problem, found.value_dtype, found.gradient_dtypes) == (
                plain.problem,
                plain.value_dtype,
                plain.gradient_dtypes,
            )
            np.testing.assert_array_equal(found.value, plain.value)
            for name, gradient in plain.gradients.items():
                np.testing.assert_array_equal(found.gradients[name], gradient)
