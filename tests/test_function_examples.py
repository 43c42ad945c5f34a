"""The worked examples of the functions that are no losses, in the reference and in every backend."""

import os
import warnings
from importlib import import_module

import numpy as np
import pytest

from lossproof.spec import clauses, page, page_names

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
WINGS = {"reference": "numpy", "torch": "torch", "tensorflow": "tensorflow", "jax": "jax"}
FUNCTIONS = {name: entry for key in page_names() for name, entry in page(key).functions.items()}
EXAMPLES = {
    f"{clause.id}-{example.index}": example
    for clause in clauses().values()
    for example in clause.examples
    if example.function
}
DTYPES = {"bool": "bool", "float": "float64", "label": "int64", "index": "int64", "integer": "int64"}


def arrays(example):
    """Return the inputs as numpy arrays, in the dtype that the page gives them."""
    kinds = {name: entry["kind"] for name, entry in FUNCTIONS[example.function].get("inputs", {}).items()}
    return {name: np.array(value, DTYPES[kinds[name]]) for name, value in example.inputs.items()}


def a_state(wing, framework):
    """Return a random state of a framework; an example of a random function holds for every one."""
    if wing == "torch":
        return framework.Generator().manual_seed(0)
    if wing == "tensorflow":
        return framework.random.Generator.from_seed(0)
    return framework.random.default_rng(0) if wing == "reference" else framework.random.key(0)


def call(wing, example):
    """Return what the function of a wing returns, as a list of numpy arrays: float64 throughout."""
    framework = pytest.importorskip(WINGS[wing])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow says while it is imported is not ours to mend
        module = import_module("lossproof.reference" if wing == "reference" else f"lossproof.backends.{wing}")
    own = {"torch": "as_tensor", "tensorflow": "constant"}.get(wing, "asarray")
    convert = getattr(framework.numpy if wing == "jax" else framework, own)
    function = getattr(module, example.function)

    def run():
        inputs = {name: convert(value) for name, value in arrays(example).items()}
        if FUNCTIONS[example.function].get("random"):
            inputs["rng"] = a_state(wing, framework)
        result = function(**inputs, **example.parameters)
        return [np.asarray(array) for array in (result if isinstance(result, tuple) else [result])]

    if wing != "jax":
        return run()
    with framework.enable_x64(True):
        return run()


def chosen(tree, place=()):
    """Yield the places of the numbers in nested lists, and the numbers; not those that are "unspecified"."""
    if isinstance(tree, list):
        for i, branch in enumerate(tree):
            yield from chosen(branch, (*place, i))
    elif tree != "unspecified":
        yield place, tree


def assert_holds(got, tree, exact):
    """Compare one array with what an example states; "unspecified" stands for any number or row of them."""
    assert got.shape[:1] == np.shape(np.array(tree, object))[:1]
    for place, want in chosen(tree):
        tolerance = 0 if exact or not np.isfinite(want) else 1e-13 * (1 + abs(want))
        np.testing.assert_allclose(got[place], want, rtol=0, atol=tolerance)


def of_kind(*, raises):
    return [pytest.param(example, id=key) for key, example in EXAMPLES.items() if example.raises is raises]


@pytest.mark.parametrize("example", of_kind(raises=False))
@pytest.mark.parametrize("wing", WINGS)
def test_result_of_a_worked_example(wing, example):
    got = call(wing, example)
    wanted = example.result if len(got) > 1 else [example.result]
    assert len(got) == len(wanted)
    for array, tree in zip(got, wanted, strict=True):
        assert_holds(array, tree, example.exact)


@pytest.mark.parametrize("example", of_kind(raises=True))
@pytest.mark.parametrize("wing", WINGS)
def test_error_of_a_worked_example(wing, example):
    with pytest.raises((TypeError, ValueError)):
        call(wing, example)


def test_every_example_names_a_function_of_a_page():
    assert {example.function for example in EXAMPLES.values()} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", [name for name, entry in FUNCTIONS.items() if not entry.get("random")])
def test_every_function_that_draws_nothing_has_an_example(name):
    assert name in {example.function for example in EXAMPLES.values()}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("wing", WINGS)
def test_function_is_exported(wing, name):
    pytest.importorskip(WINGS[wing])
    assert name in import_module("lossproof.reference" if wing == "reference" else f"lossproof.backends.{wing}").__all__


@pytest.mark.parametrize(
    ("got", "tree", "exact"),
    [([1.0], [1.0 + 2.0**-52], True), ([1.0], [1.0 + 1e-12], False), ([1, 2], [1], True), ([0.0], [np.nan], True)],
)
def test_assertion_of_an_example_can_fail(got, tree, exact):
    with pytest.raises(AssertionError):
        assert_holds(np.array(got), tree, exact)
