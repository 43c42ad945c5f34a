"""Structures that cover pairs: a fault of two options together needs a structure in which both are set."""

from itertools import combinations, product

import numpy as np
import pytest

from lossproof.conformance.plan.covering import busy, covering

TWO = dict.fromkeys("abcde", (False, True))


def _structures(choices, wanted, seed=0, normal=dict):
    return list(covering(choices, normal, wanted, np.random.default_rng(seed)))


def _missed(choices, structures):
    every = {((m, i), (n, j)) for m, n in combinations(choices, 2) for i, j in product(choices[m], choices[n])}
    return every - {((m, s[m]), (n, s[n])) for s in structures for m, n in combinations(choices, 2)}


@pytest.mark.parametrize("seed", range(5))
def test_eight_structures_hold_every_pair_of_five_switches(seed):
    assert not _missed(TWO, _structures(TWO, 8, seed))


def test_eight_that_are_drawn_each_by_itself_miss_some():
    rng = np.random.default_rng(0)
    assert _missed(TWO, [{n: v[rng.integers(2)] for n, v in TWO.items()} for _ in range(8)])


def test_a_pair_that_cannot_be_is_not_waited_for():
    structures = _structures(TWO, 8, normal=lambda drawn: {**drawn, "a": drawn["a"] and not drawn["b"]})
    missed = _missed(TWO, structures)
    assert missed == {(("a", True), ("b", True))}
    assert len(structures) == 8


def test_a_batch_without_terms_is_left_out_where_there_are_others():
    assert busy({"identities": ["few", "one", "apart"], "p": [1.0]}) == {"identities": ["few"], "p": [1.0]}
    assert busy({"identities": ["one"]}) == {"identities": ["one"]}


def test_the_same_seed_gives_the_same_structures():
    assert _structures(TWO, 6) == _structures(TWO, 6)
    assert _structures(TWO, 6) != _structures(TWO, 6, seed=1)
