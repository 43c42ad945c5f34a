"""What a verdict speaks of: a partial run is never conformant, and a gate moves the exit status, never the verdict."""

import json
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
from certificates import LOSS, RIGHT, UNCHECKED, WRONG, certificate, finding, result
from click.testing import CliRunner

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.command import main
from lossproof.conformance.judge.results import Mismatch
from lossproof.conformance.report import scope, summary
from lossproof.conformance.schemas import schema
from lossproof.conformance.settings import Settings
from lossproof.spec import functions, losses

CHECKED = ("gradient", "invariances")


# The verdict


@pytest.mark.parametrize(
    ("results", "checks", "want"),
    [
        (RIGHT, (), "conformant"),
        (RIGHT, CHECKED, "partial: conformant"),
        (RIGHT, tuple(CHECKS), "conformant"),
        (WRONG, CHECKED, "partial: nonconformant"),
        ((result("TM-1", "errored"),), CHECKED, "partial: errored"),
        ((result("TM-1", "unsupported"),), CHECKED, "not run"),
    ],
)
def test_the_verdict_says_partial_where_checks_were_left_out(results, checks, want):
    assert certificate(*results, checks=checks)["verdict"] == want


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, "conformant for triplet_margin_loss"),
        ({"losses": (LOSS,)}, "conformant for triplet_margin_loss"),
        (
            {"checks": CHECKED},
            "partial: conformant for triplet_margin_loss, checks gradient and invariances alone",
        ),
        ({"checks": ("vectors",)}, "partial: conformant for triplet_margin_loss, check vectors alone"),
    ],
)
def test_a_verdict_names_its_losses_and_its_checks(options, want):
    assert summary.statement(certificate(*RIGHT, **options)) == want


def test_a_verdict_on_everything_counts_losses_and_functions():
    every = [result("CV-1", "conformant", loss=name) for name in (*losses(), *functions())]
    want = f"conformant for all {len(losses())} losses and all {len(functions())} functions"
    assert summary.statement(certificate(*every)) == want


def test_a_verdict_on_many_losses_says_how_many_of_all():
    some = [result("CV-1", "conformant", loss=name) for name in list(losses())[:5]]
    assert summary.statement(certificate(*some)) == f"conformant for 5 losses (the spec has {len(losses())})"


def test_a_certificate_holds_its_scope():
    found = certificate(*UNCHECKED, losses=(LOSS,), checks=("invariances", "gradient"))["scope"]
    assert found == {
        "losses": [LOSS],
        "spec": [*losses(), *functions()],
        "asked": [LOSS],
        "checks": list(CHECKED),
        "classes": ["value", "interface"],
        "partial": True,
    }


def test_a_class_of_which_everything_is_unsupported_was_not_judged():
    assert certificate(RIGHT[0], result("CV-16", "unsupported"))["scope"]["classes"] == ["value"]


def test_the_schema_wants_a_scope():
    whole = certificate(*RIGHT)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({n: v for n, v in whole.items() if n != "scope"}, schema("certificate"))


# Names of folders


def slug(**options):
    return Settings("torch.nn.functional:triplet_margin_loss", **options).slug


def test_runs_of_another_scope_have_another_folder():
    scopes = [
        {},
        {"losses": (LOSS,)},
        {"losses": ("contrastive_loss",)},
        {"checks": ("gradient",)},
        {"checks": CHECKED},
        {"losses": (LOSS,), "checks": CHECKED},
        {"device": "cuda"},
    ]
    assert len({slug(**one) for one in scopes}) == len(scopes)


def test_a_run_of_everything_has_the_folder_of_its_target():
    assert slug() == slug(checks=tuple(CHECKS)) == "torch-nn-functional-triplet-margin-loss"


def test_the_same_scope_has_the_same_folder_in_whatever_order():
    assert slug(checks=CHECKED) == slug(checks=CHECKED[::-1])


def test_long_scopes_have_short_names_that_differ():
    names = {slug(losses=list(losses())[:n]) for n in range(5, 11)}
    assert len(names) == 6
    assert max(map(len, names)) <= scope.LONGEST


def test_a_target_of_a_long_name_is_cut_and_its_scope_is_not():
    names = {Settings("a/" * 100 + name, checks=("gradient",)).slug for name in ("x.py:loss", "y.py:loss")}
    assert (len(names), {name.rpartition("--")[2] for name in names}) == (2, {"check-gradient"})


# The gate


@pytest.mark.parametrize(
    ("results", "gate", "want"),
    [
        (RIGHT, "value,gradient,interface", 0),
        (UNCHECKED, "value,gradient,interface", 1),
        (UNCHECKED, "value,gradient", 0),
        (UNCHECKED, "value", 0),
        (UNCHECKED, "interface", 1),
        (UNCHECKED, "gradient", 2),  # nothing of it was judged
        (WRONG, "gradient", 1),
        (WRONG[:2], "value, gradient", 1),
        ((result("TM-1", "unsupported"),), "value", 2),
        ((result("TM-6", "another legal choice", choice="gradient of anchor is 1"),), "value,gradient", 0),
    ],
)
def test_a_gate_decides_the_status(results, gate, want):
    assert scope.status(certificate(*results), scope.gate(gate)) == want


def test_a_gate_for_values_does_not_pass_what_raised_where_a_value_was_asked_for():
    raised = Mismatch("raised", "the call", "raised RuntimeError: x", "a loss", 0.0, np.inf, errored=True)
    found = certificate(RIGHT[0], result("TM-1", "errored", finding("CV-23", raised)))
    assert scope.status(found, ("value",)) == 1


def test_a_stale_known_failure_fails_the_gate_of_its_class():
    found = certificate(*RIGHT, stale=["CV-28/margin -1"])
    assert (scope.status(found), scope.status(found, ("interface",)), scope.status(found, ("value",))) == (1, 1, 0)


def test_a_declared_failure_fails_no_gate():
    found = certificate(RIGHT[0], result("CV-28", "known-failing", *WRONG[0].findings))
    assert scope.status(found) == 0


def test_a_run_that_was_not_completed_passes_no_gate():
    assert scope.status(certificate(*RIGHT, complete=False), ("value",)) == 2


def test_an_unknown_class_is_status_2_with_the_one_that_was_meant(tmp_path):
    run = CliRunner().invoke(main, ["certify", "numpy", "--gate", "valeu", "--report", str(tmp_path)])
    assert (run.exit_code, run.stderr.count("\n")) == (2, 1)
    assert "--gate: no class 'valeu'; there are value, gradient, interface; did you mean 'value'?" in run.stderr


@pytest.mark.parametrize("text", ["", ",", " "])
def test_a_gate_of_nothing_is_refused(text):
    with pytest.raises(scope.GateError, match="at least one class"):
        scope.gate(text)


# On the command line

# Right, and without one check of its arguments.
TOOL = """
import numpy as np

def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction="mean"):
    near, far = (np.sum(np.abs(anchor - x + eps) ** p, -1) ** (1 / p) for x in (positive, negative))
    terms = np.maximum(0.0, margin + near - far)
    return terms if reduction == "none" else terms.sum() if reduction == "sum" else terms.sum() / max(len(terms), 1)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folder of two partial runs of one target, with their statuses and what they printed."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tool.py").write_text(TOOL, encoding="utf-8")
    command = [sys.executable, "-m", "lossproof.conformance", "certify", "tool.py:triplet_margin_loss"]
    command += ["--framework", "numpy", "--examples", "1", "--report", "out", "--jobs", "1"]
    found = []
    for more in (["--check", "invariances"], ["--check", "errors", "--gate", "interface,value"], ["--check", "errors"]):
        run = subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        found.append((run.returncode, " ".join(run.stdout.split())))
    return folder, found


def certificates(runs):
    found = [json.loads(path.read_text(encoding="utf-8")) for path in runs[0].glob("out/*/certificate.json")]
    return {tuple(one["scope"]["checks"]): one for one in found}


def test_runs_of_another_scope_do_not_overwrite_each_other(runs):
    assert set(certificates(runs)) == {("invariances",), ("errors",)}


def test_a_partial_run_that_passed_is_partial_everywhere_and_has_status_0(runs):
    status, text = runs[1][0]
    words = "partial: conformant for triplet_margin_loss, check invariances alone"
    (page,) = runs[0].glob("out/*--check-invariances/certificate.html")
    assert (status, certificates(runs)["invariances",]["verdict"]) == (0, "partial: conformant")
    assert (words in text, f"{words}</title>" in page.read_text(encoding="utf-8")) == (True, True)


def test_a_partial_run_with_findings_has_status_1_and_says_partial(runs):
    status, text = runs[1][2]
    assert (status, "partial: nonconformant for triplet_margin_loss" in text) == (1, True)


def test_the_gate_is_said_and_the_verdict_is_what_it_is(runs):
    status, text = runs[1][1]
    assert status == 1
    assert "gate value, interface: failed" in text
    assert "partial: nonconformant for triplet_margin_loss" in text


def test_the_junit_file_names_the_scope(runs):
    (path,) = runs[0].glob("out/*--check-errors/junit.xml")
    assert "triplet-margin-loss--check-errors" in path.read_text(encoding="utf-8").split("<testcase")[0]
