"""Verification in every wing: the worked examples, a count by hand, integers that float32 cannot hold, no host read."""

import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the frameworks say while they are imported is not ours to mend
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    tf = pytest.importorskip("tensorflow")

from lossproof import reference
from lossproof.backends import jax as ours_jax
from lossproof.backends import tensorflow as ours_tf
from lossproof.backends import torch as ours_torch
from lossproof.spec import page

WINGS = {
    "reference": (reference, np.asarray),
    "torch": (ours_torch, torch.tensor),
    "jax": (ours_jax, np.asarray),
    "tensorflow": (ours_tf, np.asarray),
}
EXAMPLES = {f"{c.id}-{e.index}": e for c in page("verification").clauses.values() for e in c.examples}
every_wing = pytest.mark.parametrize("wing", WINGS)
of_results = pytest.mark.parametrize("example", [e for e in EXAMPLES.values() if not e.raises], ids=lambda e: e.clause)
of_errors = pytest.mark.parametrize("example", [e for e in EXAMPLES.values() if e.raises], ids=lambda e: e.clause)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def call(wing, function, *arrays, **options):
    module, convert = WINGS[wing]
    found = getattr(module, function)(*map(convert, arrays), **options)
    return [np.asarray(a) for a in found] if isinstance(found, tuple) else [np.asarray(found)]


def of_example(wing, example, dtype):
    kinds = {"same": bool}
    arrays = [np.array(value, kinds.get(name, dtype)) for name, value in example.inputs.items()]
    return call(wing, example.function, *arrays, **example.parameters)


@every_wing
@of_results
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_worked_example(wing, example, dtype):
    tolerance = 0 if example.exact else 1e-15 if dtype == np.float64 or wing == "reference" else 1e-7
    got_all = of_example(wing, example, dtype)
    for got, want in zip(got_all, example.result if len(got_all) > 1 else [example.result], strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=0)
        assert (got.shape, got.dtype) == (np.shape(want), np.float64 if tolerance == 1e-15 else got.dtype)


@every_wing
@of_errors
def test_error_of_a_worked_example(wing, example):
    with pytest.raises((TypeError, ValueError)):
        of_example(wing, example, np.float64)


@every_wing
@pytest.mark.parametrize("thresholds", [[2.0, 1.0], [np.nan], np.nan, [[1.0]]])
def test_thresholds_on_the_host_are_ascending_numbers(wing, thresholds):
    with pytest.raises(ValueError, match="thresholds must"):
        call(wing, "verification_rates", np.array([1.0, 2.0]), np.array([True, False]), np.array(thresholds))


def drawn(seed):
    rng = np.random.default_rng(seed)
    n = 20
    return rng.integers(0, 8, n) / 4, rng.random(n) < 0.5, np.sort(rng.integers(-1, 9, 6) / 4)


@every_wing
@pytest.mark.parametrize("seed", range(2))
def test_rates_are_counts_of_pairs_s20(wing, seed):
    d, same, thresholds = drawn(seed)
    with np.errstate(invalid="ignore"):
        want = [
            np.array([sum(x <= t and s == kind for x, s in zip(d, same, strict=True)) for t in thresholds])
            / np.float64(np.count_nonzero(same == kind))
            for kind in (True, False)
        ]
    np.testing.assert_array_equal(call(wing, "verification_rates", d, same, thresholds), want)


@every_wing
@pytest.mark.parametrize("seed", range(2))
def test_best_accuracy_is_reached_at_its_threshold_and_passed_nowhere(wing, seed):
    d, same, _ = drawn(seed)
    accuracy, threshold = call(wing, "best_accuracy", d, same)
    everywhere = np.append(-np.inf, np.unique(d))
    reached = call(wing, "verification_accuracy", d, same, everywhere)[0]
    assert (accuracy, threshold) == (reached.max(), everywhere[reached.argmax()])


@every_wing
@pytest.mark.parametrize("far", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_val_at_far_is_the_last_rate_whose_far_is_small_enough(wing, far):
    d, same = np.arange(20) // 2 / 4, np.arange(20) % 2 == 0  # ten pairs of each kind, tied two by two
    val, threshold = call(wing, "val_at_far", d, same, far=far)
    assert (val, threshold) == (far, (10 * far - 1) / 4 if far else -np.inf)


@every_wing
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_three_of_ten_is_at_most_0_3(wing, dtype):
    d, same = np.arange(11).astype(dtype), np.arange(11) == 2
    assert call(wing, "val_at_far", d, same, far=0.3) == [1, 3]


@every_wing
@pytest.mark.parametrize("function", ["best_accuracy", "val_at_far"])
@pytest.mark.parametrize("d", [[], [np.nan, 1.0]])
def test_nothing_is_said_of_no_pairs_or_of_nan(wing, function, d):
    assert np.isnan(call(wing, function, np.array(d), np.array([True, False])[: len(d)])).all()


def test_more_pairs_than_float32_can_count():
    n = 2**24 + 3
    distances, same = torch.zeros(n), torch.ones(n, dtype=torch.bool)
    distances[-2:] = 1.0
    val, _ = ours_torch.verification_rates(distances, same, torch.tensor(0.5))
    assert float(val) == np.float32(n - 2) / np.float32(n)


def test_torch_reads_no_value():
    d, same = torch.empty(5, device="meta"), torch.empty(5, dtype=torch.bool, device="meta")
    shapes = [r.shape for r in ours_torch.verification_rates(d, same, torch.empty(3, device="meta"))]
    assert [*shapes, ours_torch.best_accuracy(d, same)[0].shape] == [(3,), (3,), ()]
    assert ours_torch.val_at_far(d, same, far=torch.empty((), device="meta"))[0].shape == ()


def test_jax_traces_and_carries_no_gradient():
    d, same, thresholds = drawn(0)
    rates = jax.jit(ours_jax.verification_rates)(d, same, thresholds[::-1])  # unsorted: each for itself
    np.testing.assert_array_equal([r[::-1] for r in rates], reference.verification_rates(d, same, thresholds))
    assert not jax.grad(lambda x: ours_jax.val_at_far(x, same, far=0.5)[1])(d).any()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_tensorflow_takes_an_unknown_number_of_pairs(jit_compile):
    signature = [
        tf.TensorSpec((None,), tf.float64),
        tf.TensorSpec((None,), tf.bool),
        tf.TensorSpec((None,), tf.float64),
    ]
    rates = tf.function(ours_tf.verification_rates, input_signature=signature, jit_compile=jit_compile)
    for seed in (0, 1):
        d, same, thresholds = drawn(seed)
        np.testing.assert_array_equal(rates(d, same, thresholds), reference.verification_rates(d, same, thresholds))
