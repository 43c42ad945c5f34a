"""Each recipe runs as pasted in each framework, and ends with an assertion of what it shows."""

import ast
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
FRAMEWORKS = {"PyTorch": "torch", "Keras": "keras", "JAX": "jax"}
RECIPES = {part.splitlines()[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}
BLOCKS = {
    (recipe, name): block
    for recipe, part in RECIPES.items()
    for name, block in re.findall(r"^\*\*(\w+)\*\*\n\n```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
}
every_block = pytest.mark.parametrize("key", BLOCKS, ids="-".join)


def test_every_recipe_has_a_block_of_each_framework_and_no_other():
    assert RECIPES
    assert list(BLOCKS) == [(recipe, name) for recipe in RECIPES for name in FRAMEWORKS]
    assert PAGE.count("```python") == len(BLOCKS)


@every_block
def test_a_block_ends_with_an_assertion(key):
    assert isinstance(ast.parse(BLOCKS[key]).body[-1], ast.Assert)


@every_block
@pytest.mark.filterwarnings("ignore")  # what a framework says of itself in a first hour
def test_block_runs_as_pasted(key):
    pytest.importorskip(FRAMEWORKS[key[1]])
    exec(compile(BLOCKS[key], "docs/recipes.md", "exec"), {"__name__": "recipes"})
