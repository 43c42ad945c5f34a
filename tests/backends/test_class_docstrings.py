"""What a hover on a class shows: every option in `Args`, and an example that returns what it says."""

import doctest
import importlib
import inspect
import re

import pytest

FRAMEWORKS = ("torch", "tensorflow", "jax")


def classes(framework):
    module = importlib.import_module(f"lossproof.backends.{framework}")
    return [thing for name, thing in vars(module).items() if inspect.isclass(thing) and name.endswith("Loss")]


@pytest.fixture(params=FRAMEWORKS)
def every(request):
    pytest.importorskip(request.param)
    return classes(request.param)


def test_each_option_stands_in_args_and_no_other(every):
    for one in every:
        section = re.search(r"\nArgs:\n(.*?)\n\n", f"{inspect.cleandoc(one.__doc__)}\n\n", re.DOTALL)
        named = re.findall(r"^ {4}(\**\w+): ", section[1], re.MULTILINE)
        assert named == [str(p).partition(":")[0] for p in inspect.signature(one).parameters.values()], one


def test_the_example_returns_what_it_says(every):
    for one in every:
        (example,) = doctest.DocTestFinder(recurse=False).find(one, one.__name__)
        assert len(example.examples) >= 4, one
        found = doctest.DocTestRunner(verbose=False).run(example)
        assert found.failed == 0, one
