"""The modes in which the judge asks TensorFlow: they leave nothing behind, and their lines reproduce what was asked."""

import os
import subprocess
import sys

import numpy as np
import pytest

from audit.kills import adapter
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.reproduce import line

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

ROWS = np.array([[3.0], [4.0], [6.0], [8.0]])
BATCH = {"embeddings": ROWS, "labels": np.array([0, 2, 1, 1])}
MODES = ["unknown_batch", "stacked", "graph", "forward", "strict"]


def batch_hard(mode, order=1, rows=ROWS):
    inputs = {**BATCH, "embeddings": rows}
    return Case("batch_hard_triplet_loss", inputs, "float32", {"margin": 1.0}, mode, order, np.ones(()))


def asked(function, case):
    return InProcess(Implementation({case.loss: function}), "tensorflow", adapter("tensorflow")).ask(case)


@pytest.mark.parametrize("mode", MODES)
def test_a_line_asks_in_the_mode_of_its_finding(mode):
    case = batch_hard(mode)
    hello = {"framework": "tensorflow", "origin": {case.loss: ("lossproof.backends.tensorflow", case.loss)}}
    text = line("target", hello, case).replace("python -c", f"{sys.executable} -c", 1)
    run = subprocess.run(text, shell=True, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "0.5" in run.stdout  # the loss, and the gradient of row 4.0
    assert "-1." in run.stdout  # that of row 6.0: nearer to 4.0, farther from 8.0


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_gives_value_and_gradient_of_the_case_itself(mode):
    from lossproof.backends.tensorflow import batch_hard_triplet_loss
    from lossproof.reference import batch_hard_triplet_loss as reference

    want, gradients = reference(**BATCH, margin=1.0, cotangent=np.ones(()))
    answer = asked(batch_hard_triplet_loss, batch_hard(mode))
    assert answer.problem is None
    assert answer.value == want
    np.testing.assert_array_equal(answer.gradients["embeddings"], gradients["embeddings"])


@pytest.mark.parametrize("mode", ["stacked", "graph", "forward"])
def test_second_derivatives_are_not_asked_for(mode):
    assert "no second derivatives" in str(asked(lambda **given: tf.zeros(()), batch_hard(mode, 2)).unsupported)


def test_a_graph_made_by_a_loss_does_not_look_for_nan_after_the_strict_mode():
    @tf.function
    def whole(embeddings, labels, *, margin=1.0):
        return tf.reduce_sum(embeddings)

    session = InProcess(Implementation({"batch_hard_triplet_loss": whole}), "tensorflow", adapter("tensorflow"))
    nan = np.full((4, 1), np.nan)
    assert "InvalidArgumentError" in str(session.ask(batch_hard("strict", rows=nan)).problem)
    for mode in ("strict", "eager"):
        assert session.ask(batch_hard(mode)).value == 21.0
    for mode in ("eager", "compiled", "stacked", "graph"):
        assert np.isnan(session.ask(batch_hard(mode, rows=nan)).value)
    assert not tf.config.functions_run_eagerly()


def test_the_other_calls_of_a_stack_are_legal_and_not_the_case():
    from lossproof.conformance.host.frameworks.tensorflow import _stack

    rows, labels = (_stack(tf.constant(BATCH[name])).numpy().tolist() for name in ("embeddings", "labels"))
    assert rows == [[[8.0], [6.0], [4.0], [3.0]], ROWS.tolist(), [[8.0], [3.0], [4.0], [6.0]]]
    assert labels == [[1, 0, 2, 1], [0, 2, 1, 1], [0, 0, 0, 0]]
    assert _stack(tf.zeros((0, 2))).shape == (3, 0, 2)
    assert _stack(tf.zeros((0,), tf.bool)).shape == (3, 0)
