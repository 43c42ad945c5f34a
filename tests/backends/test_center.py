"""Center loss where the judge does not look: the sources' own formulas, the frameworks' classes, broken updates."""

import os
import warnings

import numpy as np
import pytest

import lossproof.reference as reference
from lossproof.spec import clauses

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HOMES = ["reference", "torch", "tensorflow", "jax"]
every_home = pytest.mark.parametrize("home", HOMES)


def batch(count=9, width=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x, c = rng.standard_normal((count, width)), rng.standard_normal((classes, width))
    return x.astype("float32"), rng.integers(0, classes, count), c.astype("float32")


def function(home, name):
    """Return a function of a wing that takes and returns numpy arrays."""
    if home == "reference":
        return getattr(reference, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow says while it is imported is not ours to mend
        framework = pytest.importorskip(home)
    backend = pytest.importorskip(f"lossproof.backends.{home}")
    convert = framework.as_tensor if home == "torch" else np.asarray

    def call(*inputs, **options):
        result = getattr(backend, name)(*map(convert, inputs), **options)
        return np.asarray(result)

    return call


# the sources, in formulas typed apart


@every_home
def test_s14_is_half_the_sum_of_squared_distances(home):
    x, y, c = batch()
    want = 0.5 * sum(float(np.sum((x[i] - c[y[i]]) ** 2)) for i in range(len(x)))
    assert function(home, "center_loss")(x, y, c, factor=0.5, reduction="sum") == pytest.approx(want, rel=1e-6)


@every_home
def test_s15_is_the_clamped_mean_of_the_torch_module(home):
    x, y, c = batch(seed=1)
    x[0] = c[y[0]]
    x[1] = 1e7
    distances = np.linalg.norm(x.astype(float) - c[y], axis=1) ** 2
    want = np.clip(distances, 1e-12, 1e12).mean()
    options = {"factor": 1.0, "floor": 1e-12, "ceiling": 1e12, "reduction": "mean"}
    assert function(home, "center_loss")(x, y, c, **options) == pytest.approx(want, rel=1e-6)


def equation_4(centers, x, y, alpha):
    """Move the centers as the paper writes it, one at a time."""
    moved = centers.astype(float).copy()
    for j in range(len(centers)):
        delta = sum(((y[i] == j) * (centers[j] - x[i]) for i in range(len(x))), np.zeros(x.shape[1]))
        moved[j] = centers[j] - alpha * delta / (1 + sum(y == j))
    return moved


@every_home
@pytest.mark.parametrize("alpha", [0.5, 0.005])
def test_s14_update_is_equation_4(home, alpha):
    x, y, c = batch(classes=5, seed=2)
    y[y == 4] = 3  # one class is absent
    got = function(home, "update_centers")(c, x, y, alpha=alpha)
    np.testing.assert_allclose(got, equation_4(c, x, y, alpha), rtol=0, atol=1e-6)
    assert np.array_equal(np.asarray(got, "float32")[4], c[4])


def test_gradient_of_the_reference_is_the_derivative_of_its_value():
    rng = np.random.default_rng(3)
    x, c, y = rng.standard_normal((5, 3)), rng.standard_normal((3, 3)), np.array([0, 1, 1, 2, 1])
    mask, options, h = np.array([True, True, True, False, True]), {"factor": 0.7, "ceiling": 6.0}, 1e-6
    _, gradients = reference.center_loss(x, y, c, mask=mask, cotangent=1.0, **options)
    for name, rows in (("embeddings", x), ("centers", c)):
        for place in np.ndindex(rows.shape):
            ends = []
            for sign in (1, -1):
                moved = {"embeddings": x.copy(), "centers": c.copy()}
                moved[name][place] += sign * h
                ends.append(reference.center_loss(labels=y, mask=mask, **moved, **options))
            assert gradients[name][place] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-8)


# broken updates, which the worked examples catch


def _sums(centers, embeddings, labels, mask):
    part = np.ones(len(labels), bool) if mask is None else mask
    rows = [np.flatnonzero((labels == j) & part) for j in range(len(centers))]
    return rows, np.array([np.sum(embeddings[r] - c, axis=0) for r, c in zip(rows, centers, strict=True)])


BROKEN = {
    "the 1 of 1 + n is dropped": lambda c, x, y, alpha, mask: _ratio(c, x, y, alpha, mask, lambda n: max(n, 1)),
    "1 + n is dropped": lambda c, x, y, alpha, mask: _ratio(c, x, y, alpha, mask, lambda n: 1),
    "divided by the batch": lambda c, x, y, alpha, mask: _ratio(c, x, y, alpha, mask, lambda n: 1 + len(x)),
    "away from the rows": lambda c, x, y, alpha, mask: _ratio(c, x, y, -alpha, mask, lambda n: 1 + n),
    "alpha is left out": lambda c, x, y, alpha, mask: _ratio(c, x, y, 1.0, mask, lambda n: 1 + n),
    "absent centers decay": lambda c, x, y, alpha, mask: 0.5 * c,
    "the mask is left out": lambda c, x, y, alpha, mask: _ratio(c, x, y, alpha, None, lambda n: 1 + n),
    "one row after the other": lambda c, x, y, alpha, mask: _one_by_one(c, x, y, alpha, mask),
}


def _ratio(c, x, y, alpha, mask, below):
    rows, total = _sums(c, x, y, mask)
    return c + alpha * total / np.array([[below(len(r))] for r in rows])


def _one_by_one(c, x, y, alpha, mask):
    c = c.copy()
    for i in np.flatnonzero(np.ones(len(y), bool) if mask is None else mask):
        c[y[i]] += alpha * (x[i] - c[y[i]]) / 2
    return c


def fails(update):
    """Return the clauses of whose examples an update gives another result."""
    found = set()
    for key, clause in clauses().items():
        for example in clause.examples:
            if example.function == "update_centers" and not example.raises:
                arrays = {
                    n: np.array(v, {"labels": int, "mask": bool}.get(n, float)) for n, v in example.inputs.items()
                }
                alpha, mask = example.parameters.get("alpha", 0.5), arrays.pop("mask", None)
                got = update(arrays["centers"], arrays["embeddings"], arrays["labels"], alpha, mask)
                if not np.array_equal(got, np.array(example.result), equal_nan=True):
                    found.add(key)
    return found


def test_the_right_update_is_not_accused():
    assert not fails(lambda c, x, y, alpha, mask: reference.update_centers(c, x, y, alpha=alpha, mask=mask))


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_update_fails_an_example(broken):
    assert fails(broken)
