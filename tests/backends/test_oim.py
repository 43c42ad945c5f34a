"""The OIM loss where the judge does not look: the source's own loop, gradients of the update, the place of the head."""

import os
import warnings

import numpy as np
import pytest

import lossproof.reference as reference

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HOMES = ["reference", "torch", "tensorflow", "jax"]
every_home = pytest.mark.parametrize("home", HOMES)


def batch(count=10, width=4, classes=3, queue=3, seed=0):
    """Return unit rows, labels with -1 among them, a table and a queue of unit rows, and a head."""
    rng = np.random.default_rng(seed)
    x, v, q = (rng.standard_normal((n, width)) for n in (count, classes, queue))
    x, v, q = ((a / np.linalg.norm(a, axis=1, keepdims=True)).astype("float32") for a in (x, v, q))
    return x, rng.integers(-1, classes, count), v, q, np.array(int(rng.integers(queue)) if queue else 0)


def function(home, name):
    """Return a function of a wing that takes and returns numpy arrays."""
    if home == "reference":
        return getattr(reference, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow says while it is imported is not ours to mend
        framework = pytest.importorskip(home)
    backend = pytest.importorskip(f"lossproof.backends.{home}")
    convert = framework.as_tensor if home == "torch" else np.asarray
    convert_integer = convert if home != "jax" else lambda a: np.asarray(a, np.int32)

    def call(*inputs, **options):
        arrays = [convert_integer(a) if a.dtype.kind == "i" else convert(a) for a in inputs]
        result = getattr(backend, name)(*arrays, **options)
        return tuple(map(np.asarray, result)) if isinstance(result, tuple) else np.asarray(result)

    return call


# the source, in formulas typed apart


@every_home
@pytest.mark.parametrize("size", [3, 0])
def test_s16_is_minus_the_log_of_the_probability(home, size):
    x, y, v, q, _ = batch(queue=size)
    p = np.exp(np.concatenate([x @ v.T, x @ q.T], axis=1).astype(float) / 0.1)
    chosen = [-np.log(p[i, y[i]] / p[i].sum()) for i in range(len(x)) if y[i] != -1]
    assert function(home, "oim_loss")(x, y, v, q) == pytest.approx(np.mean(chosen), rel=1e-5)


def one_by_one(v, q, head, x, y, *, momentum=0.5, normalise=True):
    v, q, head = v.astype(float).copy(), q.astype(float).copy(), int(head)
    for row, label in zip(x.astype(float), y, strict=True):
        if label >= 0:
            v[label] = momentum * v[label] + (1 - momentum) * row
            if normalise:
                v[label] /= np.linalg.norm(v[label])
        elif len(q):
            q[head], head = row, (head + 1) % len(q)
    return v, q, head


@every_home
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("size", "count"), [(3, 10), (7, 10), (1, 5), (0, 4), (3, 0), (2, 1)])
def test_s16_update_is_the_loop_over_the_rows(home, normalise, size, count):
    x, y, v, q, head = batch(count=count, queue=size, seed=count)
    got = function(home, "update_oim_memory")(v, q, head, x, y, momentum=0.75, normalise=normalise)
    want = one_by_one(v, q, head, x, y, momentum=0.75, normalise=normalise)
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=1e-6)
    assert np.array_equal(got[1], want[1])
    assert int(got[2]) == want[2]


def test_gradient_of_the_reference_is_the_derivative_of_its_value():
    x, y, v, q, _ = (a.astype(float) if a.dtype.kind == "f" else a for a in batch(count=4, seed=5))
    _, gradients = reference.oim_loss(x, y, v, q, temperature=0.5, cotangent=1.0)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        ends = [reference.oim_loss(rows, y, v, q, temperature=0.5) for rows in (up, down)]
        assert gradients["embeddings"][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


# OI-21


@every_home
def test_head_on_the_host_outside_the_queue_is_an_error(home):
    x, y, v, q, _ = batch()
    with pytest.raises(ValueError, match=r"^head must be in \[0, 2\], got 3"):
        function(home, "update_oim_memory")(v, q, np.array(3), x, y)


@every_home
@pytest.mark.parametrize("head", [np.array([0]), np.array(0.0, "float32")], ids=["one axis", "a float"])
def test_head_is_one_integer(home, head):
    x, y, v, q, _ = batch()
    with pytest.raises((TypeError, ValueError), match=r"^head must have"):
        function(home, "update_oim_memory")(v, q, head, x, y)
