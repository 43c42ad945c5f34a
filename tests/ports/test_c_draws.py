"""The functions of the C port that draw at random: nobody judges them from outside, so MI-9 to MI-19 are asked here."""

import subprocess
from collections import Counter, defaultdict
from itertools import permutations
from pathlib import Path

import pytest

from examples.ports.c.build import PROGRAM, build

LABELS = [9, 5, 5, 9, 7, 5]
ROWS = range(len(LABELS))
SAME = {(a, b) for a, b in permutations(ROWS, 2) if LABELS[a] == LABELS[b]}
OTHER = set(permutations(ROWS, 2)) - SAME
TRIPLETS = {(a, p, n) for a, p in SAME for n in ROWS if LABELS[n] != LABELS[a]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return what the program printed: the numbers of each line, by its name."""
    program = build(tmp_path_factory.mktemp("draws") / "draws", (Path(__file__).parent / "draws.c", PROGRAM[0]))
    lines = defaultdict(list)
    for line in subprocess.run([program], capture_output=True, text=True, check=True, timeout=300).stdout.splitlines():
        words = line.split()
        name = [word for word in words if word.isidentifier()]
        lines[" ".join(name)].append([int(word) for word in words[len(name) :]])
    return lines


def rows_of(numbers, width):
    return list(zip(*[iter(numbers)] * width, strict=True))


def even(counts, outcomes):
    """Whether every outcome, and no other, came about as often as chance lets it, within five deviations."""
    total, share = sum(counts.values()), sum(counts.values()) / len(outcomes)
    spread = 5 * (share * (1 - share / total)) ** 0.5
    return counts.keys() == set(outcomes) and all(abs(count - share) <= spread for count in counts.values())


def test_triplets_are_drawn_evenly_among_all_of_the_data_set(drawn):
    assert even(Counter(rows_of(drawn["many triplets"][0], 3)), TRIPLETS)


def test_pairs_are_similar_and_dissimilar_in_turn_and_each_kind_is_drawn_evenly(drawn):
    pairs = rows_of(drawn["many pairs"][0], 2)
    assert even(Counter(pairs[::2]), SAME)
    assert even(Counter(pairs[1::2]), OTHER)


@pytest.mark.parametrize("kind", ["triplets", "pairs"])
def test_the_same_state_draws_the_same(drawn, kind):
    assert drawn[f"many {kind}"] == drawn[f"again {kind}"]


@pytest.mark.parametrize("kind", ["triplets", "pairs"])
def test_labels_that_have_none_are_refused_unless_none_is_drawn(drawn, kind):
    assert drawn[f"alone {kind}"] == [[-2]]
    assert drawn[f"none {kind}"] == [[]]


def test_active_terms_are_drawn_evenly_and_without_any_each_index_is_minus_one(drawn):
    assert even(Counter(drawn["active"][0]), {1, 3})
    assert drawn["inactive"] == [[-1, -1]]


def test_a_negative_is_of_the_kinds_that_are_asked_for(drawn):
    assert drawn["semi_hard"] == [[0, 1, 2]]
    assert drawn["with_hard"] == [[0, 1, 2], [1, 0, 2]]


def test_a_size_fills_up_with_minus_one_and_thins_out_evenly(drawn):
    assert drawn["filled"] == [[0, 1, 2], [1, 0, 2], [-1, -1, -1]]
    assert even(Counter(map(tuple, drawn["thinned"])), {(0, 1, 2), (1, 0, 2)})


def test_each_negative_of_the_chosen_set_is_as_likely(drawn):
    assert even(Counter(n for a, _, n in drawn["drawn"] if a == 0), {2, 3})
