"""What an implementation says of itself: a name that no page has is refused in one line, never dropped."""

import json
import sys

import pytest
from click.testing import CliRunner

from lossproof.conformance import Implementation
from lossproof.conformance.command import main
from lossproof.conformance.host.hello import EVERY_MODE, fault
from lossproof.conformance.host.implementation import TargetError
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.options import expectation, within
from lossproof.conformance.host.worker import adapter_for
from lossproof.conformance.plan.plan import everything
from lossproof.reference import triplet_margin_loss, update_centers

LOSS = "triplet_margin_loss"
ACCEPTS = ["anchor", "positive", "negative", "margin", "p", "reduction"]


def hello(entry=None, **other):
    said = {"type": "hello", "protocol": 1, "name": "port", "dtypes": ["float64"], "losses": {LOSS: entry or {}}}
    return said | other


SLIPS = [
    pytest.param(hello({"accepts": [*ACCEPTS, "temprature"]}), "accepts: 'temprature'", id="an option of no page"),
    pytest.param(hello({"accepts": [*ACCEPTS, "sawp"]}), "did you mean 'swap'", id="an option that is misspelt"),
    pytest.param(hello({"accepts": ["anchor", "positive"]}), "lacks 'negative'", id="no input that every call has"),
    pytest.param(hello(losses={"oim": {}}), "losses: 'oim' is unknown; ", id="a loss of no page"),
    pytest.param(hello(losses={"oim_los": {}}), "did you mean 'oim_loss'", id="a loss that is misspelt"),
    pytest.param(hello(losses={"update_centers": {}}), "belongs under functions", id="a function among the losses"),
    pytest.param(hello(functions={LOSS: {}}), "belongs under losses", id="a loss among the functions"),
    pytest.param(hello(functions={"update_center": {}}), "did you mean 'update_centers'", id="a misspelt function"),
    pytest.param(hello(functions={"update_centers": {"accepts": ["centres"]}}), "'centers'?", id="of a function"),
    pytest.param(hello({"limits": {"margn": [1.0]}}), "limits: 'margn'", id="a limit on an option of no page"),
    pytest.param(hello({"limits": {"reduction": ["avg"]}}), "one of none, sum, mean", id="a limit that is no choice"),
    pytest.param(hello({"limits": {"p": [0.5]}}), "must be in [1, inf]", id="a limit out of range"),
    pytest.param(hello({"limits": {"swap": ["yes"]}}), "true or false", id="a limit that is no boolean"),
    pytest.param(hello({"limits": {"p": [True]}}), "must be a number", id="a limit that is no number"),
    pytest.param(hello({"limits": {"p": []}}), "are empty", id="a limit to nothing"),
    pytest.param(hello({"limits": {"dtype": ["float23"]}}), "'float32'", id="a limit to an unknown dtype"),
    pytest.param(hello({"limits": {"dtype": ["float16"]}}), "neither float32 nor float64", id="a limit to no dtype"),
    pytest.param(hello({"accepts": ACCEPTS, "fixed": {"esp": 0}}), "did you mean 'eps'", id="fixed is misspelt"),
    pytest.param(hello({"accepts": ACCEPTS, "fixed": {"eps": "0"}}), "must be a number", id="fixed is no number"),
    pytest.param(hello({"accepts": ACCEPTS, "fixed": {"p": 1}}), "which a call can give", id="fixed can be given"),
    pytest.param(hello({"fixed": {"p": 1}}), "which a call can give", id="fixed, and any keyword is taken"),
    pytest.param(hello({"accept": ACCEPTS}), "did you mean 'accepts'", id="a field of a loss"),
    pytest.param(hello(mode=["eager"]), "did you mean 'modes'", id="a field of hello"),
    pytest.param(hello(modes=["eagre"]), "did you mean 'eager'", id="a mode"),
    pytest.param(hello(dtypes=["float64", "flaot32"]), "did you mean 'float32'", id="a dtype"),
    pytest.param(hello(rename={"norm": "pp"}), "rename: 'pp'", id="the name that a rename leads to"),
    pytest.param(hello(grade="centered"), "did you mean 'centred'", id="a grade"),
    pytest.param(hello(integers=["int46"]), "did you mean 'int64'", id="a dtype of labels"),
]


@pytest.mark.parametrize(("said", "words"), SLIPS)
def test_a_name_that_no_page_has_is_named(said, words):
    assert words in fault(said)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(hello(), id="nothing but the loss"),
        pytest.param(hello({"accepts": None, "limits": {"p": [1, "inf"], "swap": [False]}}), id="limits"),
        pytest.param(hello({"accepts": ACCEPTS, "fixed": {"eps": 0, "eps_at": "root"}}), id="fixed"),
        pytest.param(hello(losses={"center_loss": {"limits": {"ceiling": ["inf", 4.0]}}}), id="a range up to a name"),
        pytest.param(hello(losses={"oim_loss": {"limits": {"unlabelled": [-1, 5554]}}}), id="a range that is outside"),
        pytest.param(hello(functions={"sample_pairs": {"whatever": 1}}), id="what draws at random is not judged"),
        pytest.param(hello(integers=["uint16", "uint32", "uint64"]), id="unsigned labels"),
    ],
)
def test_what_the_pages_have_is_right(said):
    assert fault(said) is None


@pytest.mark.parametrize("framework", ["numpy", "torch", "tensorflow", "jax"])
def test_every_mode_of_an_adapter_is_known(framework):
    assert set(adapter_for(framework, "cpu").modes) <= set(EVERY_MODE)


def test_every_mode_of_the_plan_is_known():
    assert {mode for probe in everything() for mode in probe.vary.get("mode", ())} <= set(EVERY_MODE)


def test_a_port_with_a_misspelt_name_is_status_2_and_one_line(tmp_path):
    said = hello({"accepts": [*ACCEPTS, "temprature"]})
    (tmp_path / "port.py").write_text(f"input(); print({json.dumps(json.dumps(said))}, flush=True); input()")
    command = ["certify", "--command", f"{sys.executable} {tmp_path}/port.py", "--report", str(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, len(result.stderr.splitlines()), "temprature" in result.stderr) == (2, 1, True)


# The same of an Implementation


def rows(anchor, positive, negative, *, margin=1.0):
    return triplet_margin_loss(anchor, positive, negative, margin=margin)


def demanding(anchor, positive, negative, margin):
    return triplet_margin_loss(anchor, positive, negative, margin=margin)


CLAIMS = [
    pytest.param({"losses": {"triplet_loss": rows}}, "or 'triplet_margin_loss'?", id="a loss"),
    pytest.param({"rename": {"margin": "margn"}}, "did you mean 'margin'", id="the name that a rename leads to"),
    pytest.param({"rename": {"marign": "margin"}}, "rename: 'marign'", id="the name that a rename starts from"),
    pytest.param({"fixed": {"esp": 0.0}}, "fixed: 'esp' is unknown", id="fixed"),
    pytest.param({"fixed": {"eps": "0"}}, "fixed eps: must be a number", id="a fixed value"),
    pytest.param({"fixed": {"eps": [0.0]}}, "must be a number, a word or a boolean, got list", id="a fixed list"),
    pytest.param({"fixed": {"reduction": "average"}}, "must be one of none, sum, mean", id="a fixed choice"),
    pytest.param(
        {"losses": {"triplet_margin_loss": demanding}, "fixed": {"margin": 0.2}},
        "so the function must give it a default",
        id="fixed is demanded",
    ),
    pytest.param({"limits": {"margins": [1.0]}}, "did you mean 'margin'", id="limits"),
    pytest.param({"limits": {"margin": 1.0}}, "must be a list", id="a limit that is no list"),
    pytest.param({"limits": {"reduction": "mean"}}, "must be a list", id="a limit that is a word"),
    pytest.param({"limits": {"margin": [-1.0]}}, "must be in [0, inf)", id="a limit out of range"),
    pytest.param({"limits": {"dtype": ["double"]}}, "'double' is unknown", id="a dtype"),
    pytest.param({"grade": "best"}, "grade: 'best' is unknown", id="a grade"),
    pytest.param({"traced": ("marign",)}, "did you mean 'margin'", id="traced"),
    pytest.param({"losses": {LOSS: int}}, "must be a function, got the class int", id="a class"),
    pytest.param({"losses": {LOSS: lambda a, p, n: 0.0}}, "--rename a=anchor --rename p=positive", id="other names"),
    pytest.param({"losses": {LOSS: lambda anchor, positive, negative, size: 0.0}}, "'size'", id="one more parameter"),
]


@pytest.mark.parametrize(("claims", "words"), CLAIMS)
def test_an_implementation_with_such_a_name_is_refused(claims, words):
    with pytest.raises(TargetError) as caught:
        InProcess(Implementation(**{"losses": {LOSS: rows}, **claims}), "numpy")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parameter_that_no_page_has_is_no_claim_where_it_has_a_default():
    def loss(anchor, positive, negative, margin=1.0, name=None, *args, axis=-1):
        return 0.0

    said = InProcess(Implementation({LOSS: loss}), "numpy").hello["losses"][LOSS]["accepts"]
    assert said == ["anchor", "positive", "negative", "margin"]


def test_what_one_of_several_losses_alone_has_is_said_of_that_one_alone():
    def update(centers, embeddings, labels):
        return update_centers(centers, embeddings, labels)

    tool = Implementation({LOSS: rows, "update_centers": update}, fixed={"alpha": 0.5, "eps": 0.0})
    said = InProcess(tool, "numpy").hello
    assert said["losses"][LOSS]["fixed"] == {"eps": 0.0}
    assert said["functions"]["update_centers"]["fixed"] == {"alpha": 0.5}


def test_a_fixed_option_of_a_function_that_takes_any_keyword_is_not_given():
    tool = Implementation({LOSS: lambda anchor, positive, negative, **options: 0.0}, fixed={"eps": 0.0})
    assert "eps" not in InProcess(tool, "numpy").hello["losses"][LOSS]["accepts"]


@pytest.mark.parametrize(
    ("entry", "value", "legal"),
    [
        ({"kind": "real", "range": "[0, 1]"}, 1, True),
        ({"kind": "real", "range": "[0, 1)"}, 1.0, False),
        ({"kind": "real", "range": "(0, inf)"}, 0.0, False),
        ({"kind": "real", "range": "[1, inf]"}, float("inf"), True),
        ({"kind": "real", "range": "[1, inf)"}, float("inf"), False),
        ({"kind": "real", "range": "[1, inf]"}, float("nan"), False),
        ({"kind": "real", "range": "[floor, inf]"}, 3.0, True),
        ({"kind": "count", "range": "[1, inf)"}, 2.0, True),
        ({"kind": "count", "range": "[1, inf)"}, 2.5, False),
        ({"kind": "integer"}, True, False),
        ({"kind": "bool"}, 1, False),
        ({"kind": "choice", "choices": ["a"]}, "a", True),
    ],
)
def test_what_is_legal_for_an_option(entry, value, legal):
    assert (expectation(entry, value) is None) == legal


def test_a_range_with_negative_ends():
    assert (within("[-1, 1]", -1.0), within("[-1, 1]", -1.5)) == (True, False)
