"""The lines that show a finding are run as they stand."""

import os
import subprocess
import sys

import numpy as np
import pytest

import lossproof.reference as reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan

ROWS = {"anchor": np.array([[0.0, 1.0]]), "positive": np.array([[3.0, 1.0]]), "negative": np.array([[0.0, 3.0]])}
OPTIONS = {"margin": 1.0, "p": 1.0, "eps": 0.0, "distance": "p_norm", "reduction": "sum"}
PAIRS = {"distances": np.array([0.5, 1.0, 2.0]), "same": np.array([True, False, True])}


SPELLED = [
    ("torch", "python -m torch.distributed.run --nproc-per-node 2"),
    ("jax", "XLA_FLAGS=--xla_force_host_platform_device_count=2"),
    ("tensorflow", "MirroredStrategy"),
]


def printed(framework, case, hello=None):
    origin = {case.loss: (f"lossproof.backends.{framework}", case.loss)}
    text = line("target", hello or {"framework": framework, "origin": origin}, case)
    text = text.replace("python -", f"{sys.executable} -")
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(text, shell=True, capture_output=True, text=True, check=False, timeout=300, env=quiet)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize(
    ("framework", "mode", "spelled"),
    [
        ("torch", "eager", "f(**r"),
        ("torch", "compiled", "torch.compile"),
        ("torch", "captured", "aot_eager"),
        ("torch", "ambient", "autocast"),
        ("torch", "stacked", "torch.func.vmap"),
        ("torch", "traced", "torch.jit.trace"),
        ("torch", "forward", "torch.func.jacfwd"),
        ("torch", "reused", "register_hook"),
        ("torch", "strict", "set_detect_anomaly"),
        ("tensorflow", "compiled", "jit_compile"),
        ("tensorflow", "ambient", "mixed_bfloat16"),
        ("jax", "compiled", "jax.jit"),
        ("jax", "captured", "jax.jit"),
    ],
)
def test_a_loss_is_called_in_the_mode_of_its_finding(framework, mode, spelled):
    case = Case("triplet_margin_loss", ROWS, "float32", OPTIONS, mode, 1, np.ones(()))
    assert spelled in line("target", {"framework": framework, "origin": {case.loss: ("m", "f")}}, case)
    got = printed(framework, case)
    assert "2." in got  # 1 + 3 - 2
    assert "-1." in got  # the gradient of the positive's distance


@pytest.mark.parametrize(("framework", "spelled"), SPELLED)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_batch_over_processes_is_started_as_people_start_it(framework, spelled, reduction):
    rows = {"embeddings": np.array([[0.0], [4.0], [1.0]]), "labels": np.array([0, 0, 1])}
    options, seed = {"margin": 1.0, "reduction": reduction}, np.ones(() if reduction == "sum" else 3)
    case = Case("batch_hard_triplet_loss", rows, "float32", options, "ranks:2", 1, seed, split=(1, 2))
    origin = {case.loss: (f"lossproof.backends.{framework}", case.loss)}
    hello = {"framework": framework, "origin": origin, "ranks": {"keyword": [case.loss]}}
    assert spelled in line("target", hello, case)
    got = printed(framework, case, hello)
    twice = (framework, reduction) == ("torch", "sum")  # W times the share
    assert ("8." if twice else "4.") in got  # 1 + 4 - 1, of process 0
    assert ("-2." if twice else "-1.") in got


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_several_results_are_added_up_before_they_are_derived(framework):
    assert "0.666" in printed(framework, Case("best_accuracy", PAIRS, "float32", {}, "eager", 1, results=True))


def test_many_numbers_that_repeat_themselves_are_written_once():
    pairs = {"distances": np.resize(np.arange(8) / 4, 100_000), "same": np.resize([True, False], 100_000)}
    case = Case("verification_rates", pairs | {"thresholds": np.array([0.5])}, "float64", {}, "eager", 0, results=True)
    origin = {case.loss: ("lossproof.backends.torch", case.loss)}
    assert len(line("target", {"framework": "torch", "origin": origin}, case)) < 1000
    got = printed("torch", case)
    assert "0.5000" in got  # of 0, 0.5, 1 and 1.5
    assert "0.2500" in got  # of 0.25, 0.75, 1.25 and 1.75


def test_a_finding_about_labels_of_another_dtype_shows_the_call_that_has_them():
    def refuses(embeddings, labels, cotangent=None):
        if labels.dtype == np.int32:
            raise TypeError("int64 alone")
        return reference.batch_hard_triplet_loss(embeddings, labels, cotangent=cotangent)

    loss, known = "batch_hard_triplet_loss", losses_known()
    judge = Judge.of(InProcess(Implementation({loss: refuses}), "numpy"), known, ours=False, seed=0, examples=1)
    (probe,) = [p for p in plan(loss, known[loss]) if (p.clause, p.label) == ("CV-31", "integers")]
    (finding,) = judge.run(probe, CHECKS[probe.check]).findings
    assert finding.case.dtypes == {"labels": "int32"}
