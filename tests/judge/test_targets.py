"""What a target may be, how a function is found in it, and what the command line says of it."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from lossproof.conformance.command import main
from lossproof.conformance.host.claims import pairs, with_claims
from lossproof.conformance.host.implementation import FRAMEWORKS, Implementation, TargetError, resolve
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.host.words import cut, meant
from lossproof.conformance.host.worker import adapter_for, hello_of
from lossproof.spec import functions, losses, page

EVERY = (*losses(), *functions())
LOSS = "triplet_margin_loss"
TARGETS = """
import functools
import beside
from lossproof.conformance import Implementation
from lossproof.reference import triplet_margin_loss as reference, update_centers as centers_of_reference

def _impl(anchor, positive, negative, margin=1.0, eps=1e-6, reduction="mean", cotangent=None):
    return reference(anchor, positive, negative, margin=margin, eps=eps, reduction=reduction, cotangent=cotangent)

triplet_margin_loss = _impl
part = functools.partial(_impl, eps=0.0)

def ordered(anchor, positive, negative, /, *, cotangent=None):
    return reference(anchor, positive, negative, cotangent=cotangent)

def my_update(centers, embeddings, labels, alpha=0.5):
    return centers_of_reference(centers, embeddings, labels, alpha=alpha)

def unlike(a, b, c, norm_degree=2.0, cotangent=None):
    found = reference(a, b, c, p=norm_degree, eps=0.0, cotangent=cotangent)
    names = dict(zip(("anchor", "positive", "negative"), "abc"))
    return found if cotangent is None else (found[0], {names[n]: g for n, g in found[1].items()})

class Loss:
    def __init__(self, margin=1.0):
        self.margin = margin
    def __call__(self, anchor, positive, negative, reduction="mean", cotangent=None):
        return _impl(anchor, positive, negative, self.margin, reduction=reduction, cotangent=cotangent)
    def forward(self, rows):
        raise RuntimeError("of something else")

made = Loss()

class Module:
    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)
    def forward(self, anchor, positive, negative, margin=1.0):
        return _impl(anchor, positive, negative, margin)

module = Module()
table = {"triplet_margin_loss": _impl, "update_centers": my_update}
misnamed = {"triplet_margin": _impl}
several = Implementation({"triplet_margin_loss": _impl, "update_centers": my_update})
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    (folder / "targets.py").write_text(TARGETS, encoding="utf-8")
    (folder / "beside.py").write_text("", encoding="utf-8")
    return folder / "targets.py"


@pytest.mark.parametrize(
    ("attribute", "known", "found"),
    [
        pytest.param(LOSS, EVERY, {LOSS}, id="an alias, by the attribute that was asked for"),
        pytest.param("part", (LOSS,), {LOSS}, id="a partial, as the one loss that was asked for"),
        pytest.param("part", EVERY, {LOSS}, id="a partial, by its parameters"),
        pytest.param("my_update", ("update_centers",), {"update_centers"}, id="an update under another name"),
        pytest.param("made", (LOSS,), {LOSS}, id="an object that is called"),
        pytest.param("module", EVERY, {LOSS}, id="an object with forward"),
        pytest.param("table", EVERY, {LOSS, "update_centers"}, id="a dictionary"),
        pytest.param("table", ("update_centers",), {"update_centers"}, id="one of a dictionary"),
        pytest.param("several", EVERY, {LOSS, "update_centers"}, id="an Implementation"),
        pytest.param("", EVERY, {LOSS}, id="a whole file"),
    ],
)
def test_a_function_is_found_by_the_name_that_was_asked_for(file, attribute, known, found):
    assert set(resolve(f"{file}:{attribute}", known).losses) == found


@pytest.mark.parametrize(
    ("attribute", "accepts"),
    [
        ("part", ["anchor", "positive", "negative", "margin", "reduction"]),
        ("made", ["anchor", "positive", "negative", "reduction"]),
        ("module", ["anchor", "positive", "negative", "margin"]),
    ],
)
def test_the_parameters_of_what_is_called_like_a_function(file, attribute, accepts):
    assert resolve(f"{file}:{attribute}", (LOSS,)).accepted(LOSS) == accepts


def test_what_a_partial_binds_is_fixed(file):
    assert resolve(f"{file}:part", (LOSS,)).fixed_of(LOSS) == {"eps": 0.0}


@pytest.mark.parametrize(
    ("attribute", "known", "words"),
    [
        pytest.param(
            "Loss", (LOSS,), f"`def {LOSS}(anchor, positive, negative, **options): return Loss(", id="a class"
        ),
        pytest.param("misnamed", EVERY, f"did you mean '{LOSS}'", id="a dictionary with a name of no page"),
        pytest.param("my_update", EVERY, "say which by --loss", id="parameters of several losses"),
        pytest.param("no_such", EVERY, "no_such", id="what is not there"),
    ],
)
def test_what_is_no_target_is_one_line(file, attribute, known, words):
    with pytest.raises(TargetError) as caught:
        resolve(f"{file}:{attribute}", known)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def run(arguments, tmp_path, **options):
    command = [sys.executable, "-m", "lossproof.conformance", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path, **options)


def test_an_update_is_certified_from_the_command_line(file, tmp_path):
    given = ["certify", f"{file}:my_update", "--framework", "numpy", "--loss", "update_centers", "--jobs", "1"]
    given += ["--limit", "dtype=float64", "--check", "functions", "--check", "function_purity", "--report", "out"]
    found = run(given, tmp_path)
    (path,) = tmp_path.glob("out/*/certificate.json")
    certificate = json.loads(path.read_text(encoding="utf-8"))
    assert (found.returncode, certificate["findings"]) == (0, [])
    assert {probe["verdict"] for probe in certificate["probes"]} == {"conformant", "unsupported"}


def test_names_and_values_are_given_on_the_command_line(file, tmp_path):
    words = ["--rename", "a=anchor", "--rename", "b=positive", "--rename", "c=negative", "--rename", "norm_degree=p"]
    given = ["certify", f"{file}:unlike", "--framework", "numpy", "--loss", LOSS, "--jobs", "1", "--examples", "1"]
    checks = ["--check", "value", "--report"]
    right = run([*given, *words, "--fixed", "eps=0", "--limit", "p=1,2", *checks, "right"], tmp_path)
    wrong = run([*given, *words, *checks, "wrong"], tmp_path)
    assert (right.returncode, wrong.returncode) == (0, 1), right.stdout + right.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--fixed", "epz=0"], "--fixed: 'epz' is unknown"),
        (["--fixed", "eps"], "--fixed 'eps' must be NAME=VALUE"),
        (["--fixed", "eps=none"], "--fixed eps=none: must be a number"),
        (["--fixed", "swap=maybe"], "--fixed swap=maybe: must be true or false"),
        (["--limit", "reduction=mean,avg"], "--limit reduction=avg: must be one of none, sum, mean, mean_nonzero"),
        (["--limit", "margin=-1"], "must be in [0, inf)"),
        (["--rename", "margin=magrin"], "did you mean 'margin'"),
        (["--framework", "numpi"], "did you mean 'numpy'"),
    ],
)
def test_a_slip_on_the_command_line_is_status_2_and_one_line(file, tmp_path, given, words):
    arguments = ["certify", f"{file}:made", "--framework", "numpy", "--loss", LOSS, "--report", str(tmp_path), *given]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, len(result.stderr.splitlines()), words in result.stderr) == (2, 1, True), result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["certify", "tensorflw"], "did you mean 'tensorflow'"),
        (["certify", "numpy", "--loss", "circle_los"], "did you mean 'circle_loss'"),
        (["certify", "numpy", "--check", "gradents"], "did you mean 'gradient'"),
        (["certify", "numpy", "--fixed", "eps=0"], "our own backends"),
        (["certify", "--command", "node port.mjs", "--limit", "p=1"], "in its hello"),
        (["certfy", "numpy"], "did you mean 'certify'"),
        (["certify", "a.py:f"], "a.py:f: which framework? give --framework"),
        (["certify", "pytorch"], "did you mean 'torch'"),
        (["spec", "semihard"], "did you mean 'semi_hard'"),
        (["spec", "tm99"], "no page, loss, function or clause 'tm99'"),
    ],
)
def test_a_word_that_is_not_there_is_status_2_with_the_one_that_was_meant(arguments, words):
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, len(result.stderr.splitlines()), words in result.stderr) == (2, 1, True), result.stderr


@pytest.mark.parametrize(
    ("name", "own"),
    [("semi_hard_triplet_loss", "semi_hard"), ("update_centers", "center"), ("sample_pairs", "mining"), ("oim", "oim")],
)
def test_the_page_of_a_loss_or_a_function_is_found_by_its_name(name, own):
    assert CliRunner().invoke(main, ["spec", name]).output.rstrip("\n") == page(own).text.rstrip("\n")


def test_every_option_has_help():
    options = [option for option in main.commands["certify"].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_the_help_names_losses_and_checks_and_has_examples():
    text = CliRunner().invoke(main, ["certify", "--help"]).output
    words = ("update_centers", "invariances", "--fixed eps=0", "--rename anchors=anchor")
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", [*losses(), *functions()])
def test_each_loss_and_function_of_ours_may_be_judged_alone(framework, name):
    resolve(framework, (name,)).check()  # what our own backends say of one is known to its page


# Values from the command line


def test_values_are_read_as_the_page_has_them():
    tool = Implementation({LOSS: lambda anchor, positive, negative, p, reduction, swap: 0.0})
    said = with_claims(tool, ["eps=0", "eps_at=root"], ["p=1,inf", "swap=false", "dtype=float32"], {})
    assert said.fixed == {"eps": 0.0, "eps_at": "root"}
    assert said.limits == {"p": [1.0, float("inf")], "swap": [False], "dtype": ["float32"]}


def test_a_name_and_its_value():
    assert pairs("--fixed", ["a=b", "c = d=e"]) == [("a", "b"), ("c", "d=e")]


def test_the_nearest_name():
    assert (meant("CirCle", ["circle", "oim"]), meant("x", ["circle"])) == ("; did you mean 'circle'?", "")


def test_a_long_text_loses_its_middle():
    assert cut("a" * 50 + "b" * 50, 20) == "a" * 10 + " … (80 characters left out) … " + "b" * 10


# Lines that reproduce


def case_of(said):
    from lossproof.conformance.host.offer import Offer
    from lossproof.conformance.plan.plan import losses_known

    return losses_known()[LOSS].legal(Offer(LOSS, said["losses"][LOSS]["accepts"], dtypes=["float64"]))


def run_without_this_project(text, folder):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    blocked = 'import sys; sys.modules["lossproof"] = None; '
    text = text.replace("python -c '", f"{sys.executable} -c '{blocked}", 1)
    return subprocess.run(text, shell=True, capture_output=True, text=True, check=False, env=environment, cwd=folder)


@pytest.mark.parametrize("attribute", ["ordered", "made", "part", "table"])
def test_a_line_holds_an_absolute_path_and_runs_anywhere(file, tmp_path, attribute, monkeypatch):
    monkeypatch.chdir(file.parent)
    tool = resolve(f"targets.py:{attribute}", (LOSS,))
    hello = hello_of(adapter_for("numpy", "cpu"), tool, "numpy")
    text = line("targets.py", hello, case_of(hello))
    assert f'"{file}"' in text
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(file.parent)])}
    shell = text.replace("python -c", f"{sys.executable} -c", 1)
    run = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert float(run.stdout) > 0, run.stderr


@pytest.mark.parametrize(
    ("target", "framework", "imported"),
    [
        ("lossproof.conformance.peers.optax:triplet_margin", "jax", "import optax"),
        ("torch.nn.functional:triplet_margin_loss", "torch", "import torch.nn.functional as m"),
    ],
)
def test_the_line_of_somebody_elses_function_needs_nothing_of_this_project(tmp_path, target, framework, imported):
    pytest.importorskip(framework)
    if "optax" in target:
        pytest.importorskip("optax")
    tool = resolve(target, (LOSS,))
    hello = hello_of(adapter_for(framework, "cpu"), tool, framework)
    text = line(target, hello, case_of(hello))
    assert (imported in text, "lossproof" in text) == (True, False)
    run = run_without_this_project(text, tmp_path)
    assert run.returncode == 0, run.stderr


def test_the_line_of_a_program_names_its_files_by_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "port.mjs").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = line("node examples/port.mjs --fast", {}, case_of({"losses": {LOSS: {"accepts": None}}}))
    assert text.endswith(f"| node {tmp_path}/examples/port.mjs --fast")
