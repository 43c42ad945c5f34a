"""One mistake has one sentence: the same wrong calls in the reference and in every backend; the same signature too."""

import inspect
import os
import re
import warnings
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest

from lossproof import reference
from lossproof.spec import page

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what TensorFlow says while it is imported is not ours to mend
    tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

from lossproof.backends import jax as jax_backend  # noqa: E402
from lossproof.backends import tensorflow as tensorflow_backend  # noqa: E402
from lossproof.backends import torch as torch_backend  # noqa: E402

WINGS = {
    "reference": (reference, np.asarray),
    "torch": (torch_backend, torch.as_tensor),
    "tensorflow": (tensorflow_backend, tf.constant),
    "jax": (jax_backend, jax.numpy.asarray),
}
BACKENDS = {name: wing for name, wing in WINGS.items() if name != "reference"}
every_wing = pytest.mark.parametrize("wing", WINGS)
every_backend = pytest.mark.parametrize("wing", BACKENDS)
PAGE = page("triplet_margin")
ROW = np.zeros((2, 3), np.float32)


def call(wing, changed):
    """Return a wing's loss of three legal rows, with some arguments changed; arrays become its own."""
    module, own = WINGS[wing]
    arguments = {"anchor": ROW, "positive": ROW, "negative": ROW, **changed}
    with jax.enable_x64(True):
        converted = {k: own(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
        return np.asarray(module.triplet_margin_loss(**converted))


# wrong calls


def everywhere(array):
    return dict.fromkeys(("anchor", "positive", "negative"), array)


WRONG = [  # what is changed, type, sentence
    ({"positive": ROW[:1]}, ValueError, "positive must have the shape of anchor, (2, 3), got (1, 3)"),
    ({"negative": ROW[0]}, ValueError, "negative must have the shape of anchor, (2, 3), got (3,)"),
    ({"negative": ROW[:, :1]}, ValueError, "negative must have the shape of anchor, (2, 3), got (2, 1)"),
    ({"anchor": ROW[None]}, ValueError, "positive must have the shape of anchor, (1, 2, 3), got (2, 3)"),
    (everywhere(ROW[:, :0]), ValueError, "anchor must have at least one feature, got shape (2, 0)"),
    (everywhere(ROW[0, 0, ...]), ValueError, "anchor must have shape (..., D), got ()"),
    (
        {"positive": ROW.astype("float64")},
        TypeError,
        "positive must have the dtype of anchor, float32, got float64",
    ),
    (
        {"negative": ROW.astype("float16")},
        TypeError,
        "negative must have the dtype of anchor, float32, got float16",
    ),
    *(
        (
            everywhere(ROW.astype(dtype)),
            TypeError,
            f"anchor must have dtype float16, bfloat16, float32 or float64, got {dtype}",
        )
        for dtype in ("int32", "int64", "uint8", "bool", "complex64")
    ),
    (
        {"negative": ROW.astype("int32")},
        TypeError,
        "negative must have dtype float16, bfloat16, float32 or float64, got int32",
    ),
    ({"mask": ROW[:, 0]}, TypeError, "mask must have dtype bool, got float32"),
    ({"mask": np.ones(2, "int32")}, TypeError, "mask must have dtype bool, got int32"),
    ({"mask": np.ones((2, 1), bool)}, ValueError, "mask must have shape (2,), got (2, 1)"),
    ({"mask": np.ones((2, 3), bool)}, ValueError, "mask must have shape (2,), got (2, 3)"),
    ({"mask": np.ones(1, bool)}, ValueError, "mask must have shape (2,), got (1,)"),
    ({"mask": np.array(True)}, ValueError, "mask must have shape (2,), got ()"),
    ({"margin": -1.0}, ValueError, "margin must be in [0, inf), got -1.0"),
    ({"margin": -1e-300}, ValueError, "margin must be in [0, inf), got -1e-300"),
    ({"margin": nan}, ValueError, "margin must be in [0, inf), got nan"),
    ({"margin": inf}, ValueError, "margin must be in [0, inf), got inf"),
    ({"margin": "wide"}, TypeError, "margin must be a real number, got 'wide'"),
    ({"margin": True}, TypeError, "margin must be a real number, got True"),
    ({"margin": None}, TypeError, "margin must be a real number, got None"),
    ({"margin": 1j}, TypeError, "margin must be a real number, got 1j"),
    ({"p": 0.5}, ValueError, "p must be in [1, inf], got 0.5"),
    ({"p": -inf}, ValueError, "p must be in [1, inf], got -inf"),
    ({"p": nan}, ValueError, "p must be in [1, inf], got nan"),
    ({"p": "2"}, TypeError, "p must be a real number, got '2'"),
    ({"p": True}, TypeError, "p must be a real number, got True"),
    ({"eps": -1e-6}, ValueError, "eps must be in [0, inf), got -1e-06"),
    ({"eps": nan}, ValueError, "eps must be in [0, inf), got nan"),
    ({"eps": inf}, ValueError, "eps must be in [0, inf), got inf"),
    ({"eps": None}, TypeError, "eps must be a real number, got None"),
    ({"eps": False}, TypeError, "eps must be a real number, got False"),
    (
        {"distance": "manhattan"},
        ValueError,
        "distance must be one of 'p_norm', 'euclidean', 'squared_euclidean', 'cosine', got 'manhattan'",
    ),
    (
        {"distance": None},
        ValueError,
        "distance must be one of 'p_norm', 'euclidean', 'squared_euclidean', 'cosine', got None",
    ),
    (
        {"distance": ["cosine"]},
        ValueError,
        "distance must be one of 'p_norm', 'euclidean', 'squared_euclidean', 'cosine', got ['cosine']",
    ),
    (
        {"eps_at": "sum"},
        ValueError,
        "eps_at must be one of 'difference', 'root', 'floor', got 'sum'",
    ),
    (
        {"reduction": "average"},
        ValueError,
        "reduction must be one of 'none', 'sum', 'mean', 'mean_nonzero', got 'average'",
    ),
    (
        {"reduction": None},
        ValueError,
        "reduction must be one of 'none', 'sum', 'mean', 'mean_nonzero', got None",
    ),
    (
        {"reduction": "MEAN"},
        ValueError,
        "reduction must be one of 'none', 'sum', 'mean', 'mean_nonzero', got 'MEAN'",
    ),
    ({"swap": 1}, TypeError, "swap must be True or False, got 1"),
    ({"swap": "False"}, TypeError, "swap must be True or False, got 'False'"),
    ({"swap": None}, TypeError, "swap must be True or False, got None"),
    *(
        (
            {"distance": distance, option: value},
            ValueError,
            f"{option} must be left at its default with distance={distance!r}, got {value}",
        )
        for distance in ("euclidean", "squared_euclidean", "cosine")
        for option, value in (("p", 1.0), ("eps", 0.0), ("eps_at", "root"))
    ),
    (
        {"p": inf, "eps": 0.5, "eps_at": "root"},
        ValueError,
        "eps must be 0 with eps_at='root' and p=inf, got 0.5",
    ),
    ({"p": inf, "eps_at": "floor"}, ValueError, "eps must be 0 with eps_at='floor' and p=inf, got 1e-06"),
]


def named(changed):
    return ", ".join(
        f"{name}={value.dtype.name}{value.shape}" if isinstance(value, np.ndarray) else f"{name}={value!r}"
        for name, value in changed.items()
    )


@every_wing
@pytest.mark.parametrize(("changed", "kind", "sentence"), [pytest.param(*w, id=named(w[0])) for w in WRONG])
def test_wrong_call_has_its_sentence(wing, changed, kind, sentence):
    with pytest.raises((TypeError, ValueError)) as error:
        call(wing, changed)
    assert (type(error.value), str(error.value)) == (kind, sentence)


@every_wing
def test_legal_call_raises_nothing(wing):
    assert call(wing, {"mask": np.ones(2, bool)}) == 1.0


@every_wing
@pytest.mark.parametrize("name", ["margin", "p", "eps", "eps_at", "distance", "swap", "mask", "reduction"])
def test_options_go_by_keyword_only(wing, name):
    signature = inspect.signature(WINGS[wing][0].triplet_margin_loss)
    assert signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


@every_wing
def test_unknown_option_is_an_error(wing):
    with pytest.raises(TypeError, match="norm_degree"):
        call(wing, {"norm_degree": 1.0})


@every_backend
@pytest.mark.parametrize("name", ["anchor", "positive", "negative", "mask"])
def test_list_in_place_of_an_array_is_named(wing, name):
    with pytest.raises(TypeError, match=rf"^{name} must be a .*, got list$"):
        call(wing, {name: [[0.0, 0.0, 0.0]]})


@every_backend
@pytest.mark.parametrize("name", ["margin", "eps"])
def test_number_of_shape_one_has_its_sentence(wing, name):
    sentence = f"{name} must be a number or have shape (), got shape (1,)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call(wing, {name: np.ones(1, np.float32)})


# the signature


APART = {  # what the page does not have: the gradient of the reference, and how a framework names other processes
    "reference": {"cotangent"},
    "torch": {"process_group", "combine", "check"},
    "tensorflow": {"across_replicas"},
    "jax": {"axis_name"},
}


@every_wing
def test_parameters_stand_in_the_order_of_the_page(wing):
    options = list(PAGE.parameters)
    expected = ["anchor", "positive", "negative", *options[:-1], "mask", "weights", options[-1]]  # beside reduction
    every = inspect.signature(WINGS[wing][0].triplet_margin_loss).parameters
    own = [name for name in every if name not in APART[wing]]
    assert own == expected


@every_wing
def test_inputs_and_options_are_those_of_the_page(wing):
    own = set(inspect.signature(WINGS[wing][0].triplet_margin_loss).parameters)
    assert own == {*PAGE.inputs, *PAGE.parameters} | APART[wing]


@every_wing
@pytest.mark.parametrize("name", PAGE.parameters)
def test_default_is_that_of_the_page(wing, name):
    default = inspect.signature(WINGS[wing][0].triplet_margin_loss).parameters[name].default
    expected = PAGE.parameters[name]["default"]
    assert (type(default), default) == (type(expected), expected)


@every_wing
@pytest.mark.parametrize("name", PAGE.inputs)
def test_input_has_no_default_unless_it_is_optional(wing, name):
    default = inspect.signature(WINGS[wing][0].triplet_margin_loss).parameters[name].default
    assert default is (None if PAGE.inputs[name].get("optional") else inspect.Parameter.empty)


@every_backend
@pytest.mark.parametrize("name", PAGE.parameters)
def test_class_has_the_default_of_the_page(wing, name):
    default = inspect.signature(BACKENDS[wing][0].TripletMarginLoss).parameters[name].default
    expected = PAGE.parameters[name]["default"]
    assert (type(default), default) == (type(expected), expected)


# what is legal is accepted


CHOICES = [
    {name: choice}
    for name, entry in PAGE.parameters.items()
    for choice in entry.get("choices", [True, False] if entry["kind"] == "bool" else [])
]
LARGEST, SMALLEST = float(np.finfo(float).max), 5e-324
HUGE = 1e300  # as an eps: the largest number is legal too, but its sum over the coordinates is infinite
ENDS = [
    *({"margin": margin} for margin in (0, 0.0, -0.0, SMALLEST, LARGEST)),
    *({"p": p} for p in (1, 1.0, 1.0 + 2.0**-52, LARGEST, inf)),
    *({"eps": eps} for eps in (0, 0.0, -0.0, SMALLEST, HUGE)),
    *({"p": inf, "eps": 0, "eps_at": eps_at} for eps_at in ("difference", "root", "floor")),
    *({"distance": "cosine", **default} for default in ({"p": 2}, {"p": 2.0, "eps": 1e-6, "eps_at": "difference"})),
]
KINDS = [
    {name: kind(3)} for name in ("margin", "p", "eps") for kind in (int, Fraction, np.float32, np.float64, np.int64)
]


@every_wing
@pytest.mark.parametrize("options", CHOICES, ids=named)
def test_every_choice_of_the_page_is_accepted(wing, options):
    assert np.all(np.isfinite(call(wing, options)))


@every_wing
@pytest.mark.parametrize("options", ENDS, ids=named)
def test_ends_of_a_range_are_accepted(wing, options):
    assert not np.isnan(call(wing, options))


@every_wing
@pytest.mark.parametrize("options", KINDS, ids=named)
def test_every_kind_of_real_number_is_accepted(wing, options):
    expected = call(wing, {name: float(value) for name, value in options.items()})
    np.testing.assert_allclose(call(wing, options), expected, rtol=1e-6)


@every_wing
@pytest.mark.parametrize("shape", [(1,), (0, 1), (1, 1), (2, 3, 4, 1)], ids=str)
def test_every_legal_shape_is_accepted(wing, shape):
    terms = call(wing, {**everywhere(np.zeros(shape, np.float32)), "reduction": "none"})
    assert terms.shape == shape[:-1]


@every_wing
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_float_dtype_is_accepted(wing, dtype):
    assert call(wing, everywhere(ROW.astype(dtype))) == 1.0
