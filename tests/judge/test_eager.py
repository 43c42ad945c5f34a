"""An adapter of another framework: what it says of itself, and that it answers as numpy's own does."""

import sys

import numpy as np
import pytest

from lossproof.conformance.host.arrays import encode
from lossproof.conformance.host.case import Case, inputs_of
from lossproof.conformance.host.implementation import Implementation, TargetError, resolve
from lossproof.conformance.host.session import Session, SessionError, worker_command
from lossproof.conformance.host.worker import adapter_for, answer_to

OWN = """
import numpy as np
from lossproof.conformance.host.frameworks.eager import Eager

class Own(Eager):
    name, version = "own", "7"
    def array(self, values, dtype):
        return values.astype(dtype)
    def numbers(self, array):
        array = np.asarray(array)
        return (array.astype(float) if array.dtype.kind == "f" else array), array.dtype.name
    def derived(self, call, rows, seed):
        return call(**rows, cotangent=np.float64(1.0) if seed is None else seed)
"""
ROWS = {"embeddings": [[0.0], [1.0], [3.0], [5.0]], "labels": [0, 0, 1, 1]}
LOSS = "batch_hard_triplet_loss"


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own_framework.py"
    path.write_text(OWN, encoding="utf-8")
    return f"{path}:Own"


def case(order):
    return Case(LOSS, inputs_of(LOSS, ROWS), "float64", {"margin": 4.0}, order=order, cotangent=np.float64(2.0))


@pytest.mark.parametrize("order", [0, 1])
def test_an_adapter_answers_as_that_of_numpy(own, order):
    message, tool = case(order).message(1), resolve("lossproof.reference:", (LOSS,))
    found, want = (answer_to(adapter_for(name, "cpu"), tool, message) for name in (own, "numpy"))
    assert found["value"] == want["value"] == encode(np.float64(2.75), "float64")
    assert found.get("gradients") == want.get("gradients")


def test_a_call_that_returns_integers_is_no_loss(own):
    tool = Implementation({LOSS: lambda embeddings, labels, margin: labels})
    assert answer_to(adapter_for(own, "cpu"), tool, case(0).message(1))["error"]["type"] == "NotALoss"


def test_the_worker_says_which_framework_it_is(own):
    session = Session(worker_command("lossproof.reference:", own, "cpu", (LOSS,)))
    try:
        assert (session.hello["framework"], session.hello["framework_version"]) == ("own", "7")
        assert (session.hello["dtypes"], session.hello["modes"]) == (["float64", "float32"], ["eager"])
        assert float(session.ask(case(0)).value) == 2.75
    finally:
        session.close()


def test_what_is_no_adapter_is_refused():
    with pytest.raises(TargetError, match="json:dumps must be the class of an adapter, got function"):
        adapter_for("json:dumps", "cpu")


def test_a_missing_module_is_refused_in_one_line():
    with pytest.raises(SessionError, match="No module named 'no_such_framework'"):
        Session(
            [sys.executable, "-m", "lossproof.conformance.host.worker", "numpy", "--framework", "no_such_framework:X"]
        )
