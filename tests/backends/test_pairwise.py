"""The Gram form of the distances: within the grade `centred` wherever the first row lies, and exact on dyadic rows."""

import importlib
from fractions import Fraction

import numpy as np
import pytest

from lossproof import reference

BACKENDS = {"torch": "as_tensor", "tensorflow": "constant", "jax": "asarray"}


@pytest.fixture(params=BACKENDS)
def matrix(request):
    """The backend's matrix of squared distances, on rows of the widest dtype that it has unasked."""
    module = pytest.importorskip(f"lossproof.backends.{request.param}.pairwise")
    framework = importlib.import_module({"jax": "jax.numpy"}.get(request.param, request.param))
    array = getattr(framework, BACKENDS[request.param])
    dtype = np.float32 if request.param == "jax" else np.float64

    def of(rows, whole):
        rows = rows.astype(dtype)
        d = module.distance_matrix(array(rows), array(whole), "squared_euclidean", "gram")
        return rows, np.asarray(d, np.float64), np.finfo(dtype).eps / 2

    return of


def exact(rows):
    return [
        [sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, y, strict=True)) for y in rows]
        for x in rows
    ]


def test_an_outlying_first_row_is_within_the_grade(matrix):
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(200):
        count, width = rng.integers(3, 7), rng.integers(1, 5)
        rows, d, roundoff = matrix(rng.standard_normal((count, width)) + 100, np.arange(count) < count)
        want = exact(rows)
        centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
        budget = (4 + width**0.5) * roundoff * (np.array(want, float) + np.max(np.sum(centred**2, axis=1)))  # PW-6
        error = [
            [abs(float(Fraction(g) - w)) for g, w in zip(*pair, strict=True)]
            for pair in zip(d.tolist(), want, strict=True)
        ]
        worst = max(worst, np.max(error / budget))
    assert 0 < worst < 0.9


def test_dyadic_rows_are_exact_far_from_the_origin_beside_rows_that_take_no_part(matrix):
    rng = np.random.default_rng(1)
    for _ in range(50):
        steps, whole = rng.integers(-8, 9, (6, 3)), np.arange(6) != 2
        rows, d, _ = matrix(1024 + steps / 32, whole)
        rows[2] = 2.0**20
        assert np.array_equal(d[whole][:, whole], np.array(exact(rows), float)[whole][:, whole])


def test_batch_all_is_as_accurate_beside_a_far_row_of_no_active_triplet(matrix, request):
    name = request.node.callspec.params["matrix"]
    loss = importlib.import_module(f"lossproof.backends.{name}").batch_all_triplet_loss
    array = getattr(importlib.import_module({"jax": "jax.numpy"}.get(name, name)), BACKENDS[name])
    rows, labels = np.array([[0.0], [0.1], [0.15], [1000.0]], np.float32), np.array([0, 0, 1, 2])
    options = {"margin": 0.01, "distance": "euclidean", "pairwise": "direct", "reduction": "none"}
    wide = rows.astype(np.float64)
    got, want = loss(array(rows), array(labels), **options), reference.batch_all_triplet_loss(wide, labels, **options)
    assert np.max(np.abs(np.asarray(got) - want)) < 1e-7
