"""The modes of JAX in the judge: a right implementation passes each, and a line shows what was asked."""

import os
import subprocess
import sys

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from audit.kills import adapter  # noqa: E402
from audit.mutants.modes_jax import CORRECT, MUTANTS  # noqa: E402
from lossproof.conformance.host.case import Case  # noqa: E402
from lossproof.conformance.host.frameworks import jax as frameworks_jax  # noqa: E402
from lossproof.conformance.host.implementation import Implementation  # noqa: E402
from lossproof.conformance.host.inprocess import InProcess  # noqa: E402
from lossproof.conformance.host.reproduce import line  # noqa: E402

MODES = ["captured", "compiled", "stacked", "unknown_batch", "forward", "strict"]
INPUTS = {
    "embeddings": np.array([[0.0, 1.0], [3.0, 1.0], [0.0, 3.0], [2.0, 2.0]]),
    "labels": np.array([0, 1, 0, 1]),
}
CASE = Case("batch_hard_triplet_loss", INPUTS, "float32", {"margin": 1.0}, "eager", 1, np.ones(()))


def answer(function, mode, case=CASE):
    session = InProcess(Implementation({case.loss: function}, name="it"), "jax", adapter("jax"))
    return session.ask(Case(**{**vars(case), "mode": mode}))


@pytest.mark.parametrize("mode", MODES)
def test_a_right_loss_gives_in_each_mode_what_it_gives_plainly(mode):
    plain, found = (answer(CORRECT[CASE.loss], m) for m in ("eager", mode))
    np.testing.assert_allclose(found.value, plain.value, rtol=1e-6)
    np.testing.assert_allclose(found.gradients["embeddings"], plain.gradients["embeddings"], rtol=1e-6)


def test_switches_are_as_they_were_after_a_strict_call():
    before = adapter("jax").switches()
    assert answer(MUTANTS["jax-infinite-filler"].function, "strict").error["type"] == "FloatingPointError"
    assert adapter("jax").switches() == before


def test_a_version_that_does_not_know_the_quick_options_goes_without_them(monkeypatch):
    assert frameworks_jax.quick()
    monkeypatch.setattr(frameworks_jax, "_QUICK", {"xla_no_such_option": 1})
    assert frameworks_jax.quick() == {}


@pytest.mark.parametrize("mode", MODES)
def test_a_line_shows_the_mode(mode):
    origin = {CASE.loss: ("lossproof.backends.jax", CASE.loss)}
    text = line("target", {"framework": "jax", "origin": origin}, Case(**{**vars(CASE), "mode": mode}))
    spelled = {
        "captured": "jax.jit",
        "compiled": "jax.jit",
        "stacked": "jax.vmap",
        "unknown_batch": "symbolic_shape",
        "forward": "jacfwd",
        "strict": "debug_infs",
    }
    assert spelled[mode] in text
    text = text.replace("python -c", f"{sys.executable} -c", 1)
    run = subprocess.run(text, shell=True, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert run.returncode == 0, run.stderr
    plain = answer(CORRECT[CASE.loss], "eager")
    assert str(np.float32(plain.value))[:6] in run.stdout
