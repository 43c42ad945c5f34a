"""The positives of each anchor in JAX, which a loop of unknown length takes a few at a time, against the reference."""

import numpy as np
import pytest

from lossproof import reference

jax = pytest.importorskip("jax")
jnp = jax.numpy

import lossproof.backends.jax as backend  # noqa: E402
from lossproof.backends.jax.candidates import as_sets  # noqa: E402
from lossproof.backends.jax.positives import over_positives, runs, whole_numbers  # noqa: E402

RUNS = [1, 2, 4, 5, 9]  # rows of each label: fewer than the loop takes at once, as many, and more
LABELS = np.random.default_rng(5).permutation(np.repeat([7, 0, -3, 12, 5], RUNS))
GRID = np.random.default_rng(6).integers(-2, 3, (len(LABELS), 2)).astype(np.float64)  # full of ties
MASK = np.random.default_rng(7).random(len(LABELS)) < 0.7

every_loss = pytest.mark.parametrize("loss", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def traced(loss, rows, labels, **given):
    """Return the loss and its gradient, every array traced."""
    arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
    options = {name: value for name, value in given.items() if name not in arrays}

    def step(rows, labels, arrays):
        def call(rows):
            found = getattr(backend, loss)(rows, labels, **arrays, **options)
            return found.sum(), found

        (_, found), slope = jax.value_and_grad(call, has_aux=True)(rows)
        return found, slope

    return jax.jit(step)(rows, labels, arrays)


def same_as_the_reference(loss, rows, labels, **given):
    found, slope = traced(loss, rows, labels, **given)
    shape = found.shape or ()
    expected, slopes = getattr(reference, loss)(rows, labels, **given, cotangent=np.ones(shape))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, slopes["embeddings"], rtol=1e-9, atol=1e-12)


@every_loss
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("reduction", ["none", "mean_nonzero"])
def test_runs_of_every_length_and_ties_are_taken_whole(loss, reduction, masked):
    mask = {"mask": MASK} if masked else {}
    same_as_the_reference(loss, GRID, LABELS, distance="squared_euclidean", margin=2.0, reduction=reduction, **mask)


@every_loss
@pytest.mark.parametrize("labels", [np.arange(9), np.zeros(9, int)], ids=["no-positives", "no-negatives"])
@pytest.mark.parametrize("count", [9, 1])
def test_without_a_triplet_nothing_is_left(loss, labels, count):
    found, slope = traced(loss, GRID[:count], labels[:count], reduction="none")
    assert not found.any()
    assert not slope.any()


@every_loss
def test_the_anchor_amid_its_positives_is_passed_over(loss):
    index = np.random.default_rng(8).integers(-1, len(LABELS), 10)
    second = {"candidates": GRID, "candidate_labels": LABELS, "candidate_mask": MASK, "candidate_index": index}
    same_as_the_reference(loss, GRID[:10], LABELS[:10], distance="squared_euclidean", margin=3.0, **second)


@every_loss
def test_a_bound_changes_no_bit_within_and_makes_nan_of_the_anchors_beyond(loss):
    free = traced(loss, GRID, LABELS, reduction="none")[0]
    np.testing.assert_array_equal(traced(loss, GRID, LABELS, reduction="none", max_positives=8)[0], free)
    bound = traced(loss, GRID, LABELS, reduction="none", max_positives=4)[0]
    positive = (LABELS[:, None] == LABELS) & ~np.eye(len(LABELS), dtype=bool)
    crowded = positive.sum(1) > 4
    np.testing.assert_array_equal(bound[~crowded], free[~crowded])
    assert np.isnan(bound[crowded] if loss == "batch_all_triplet_loss" else bound[crowded[:, None] & positive]).all()


def test_rows_that_are_masked_out_make_no_step():
    labels, mask = np.array([0, 0, 0, 1, 2] + [0] * 40), np.array([True] * 5 + [False] * 40)
    sets = as_sets(np.zeros((45, 1)), labels, mask)
    positive, _ = sets.pairs()
    steps = over_positives(lambda _column, _there, steps: steps + 1, jnp.int32(0), positive, runs(positive, sets))
    assert steps == 1


@pytest.mark.parametrize(("most", "dtype"), [(2**24, np.float32), (2**24 + 1, np.int32)])
def test_a_float_that_counts_holds_every_number(most, dtype):
    assert whole_numbers(most, np.dtype("float32")) == dtype
