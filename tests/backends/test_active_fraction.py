"""The fraction of active triplets as the loss counts it: compiled, in 32 bits, and with a bound on positives."""

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

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((24, 3)).astype(np.float32), RNG.integers(0, 4, 24)
MASK = RNG.random(24) < 0.8
STATIC = ("distance", "pairwise", "max_positives")


def of_torch(x, y, mask=None, function=ours_torch.batch_all_active_fraction, **options):
    mask = None if mask is None else torch.tensor(mask)
    return float(function(torch.tensor(x), torch.tensor(y), mask=mask, **options))


def of_jax(x, y, mask=None, function=ours_jax.batch_all_active_fraction, **options):
    return float(function(x, y, mask=mask, **options))


def of_tensorflow(x, y, mask=None, function=ours_tf.batch_all_active_fraction, **options):
    return float(function(tf.constant(x), tf.constant(y), mask=None if mask is None else tf.constant(mask), **options))


def compiled(framework, **options):
    """Return the function compiled, in which nothing is read back."""
    if framework == "torch":
        fraction = torch.compile(ours_torch.batch_all_active_fraction, fullgraph=True, backend="aot_eager")
        return lambda *given, mask=None: of_torch(*given, mask, fraction, **options)
    if framework == "jax":
        fraction = jax.jit(ours_jax.batch_all_active_fraction, static_argnames=STATIC)
        return lambda *given, mask=None: of_jax(*given, mask, fraction, **options)
    fraction = tf.function(ours_tf.batch_all_active_fraction)
    return lambda *given, mask=None: of_tensorflow(*given, mask, fraction, **options)


OURS = {"torch": of_torch, "jax": of_jax, "tensorflow": of_tensorflow}
every_backend = pytest.mark.parametrize("framework", OURS)


@every_backend
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_compiled_and_eager_are_the_reference(framework, mask):
    want = reference.batch_all_active_fraction(X, Y, mask=mask, margin=0.3)
    assert 0 < want < 1
    assert OURS[framework](X, Y, mask, margin=0.3) == pytest.approx(want, rel=1e-6)
    assert compiled(framework, margin=0.3)(X, Y, mask=mask) == pytest.approx(want, rel=1e-6)


@every_backend
def test_the_order_of_the_rows_has_no_meaning(framework):
    order = RNG.permutation(len(Y))
    assert OURS[framework](X[order], Y[order], MASK[order]) == OURS[framework](X, Y, MASK)


@every_backend
def test_the_means_of_the_loss_differ_by_the_fraction(framework):
    home = {"torch": ours_torch, "jax": ours_jax, "tensorflow": ours_tf}[framework]
    loss = {
        n: OURS[framework](X, Y, function=home.batch_all_triplet_loss, reduction=n) for n in ("mean", "mean_nonzero")
    }
    assert loss["mean_nonzero"] * OURS[framework](X, Y) == pytest.approx(loss["mean"], rel=1e-5)


@every_backend
@pytest.mark.parametrize("near", [False, True], ids=["few active", "all active"])
def test_counts_that_32_bits_do_not_hold(framework, near):
    """Of 2,600 rows in two classes there are 4.4e9 triplets; JAX has no integers of 64 bits here."""
    labels = np.arange(2600) % 2
    rows = np.where(labels == 0, 0.0, 0.0 if near else 8.0)[:, None].astype(np.float32)
    rows[0] = rows[0] if near else 16.0  # as an anchor it has 1299 x 1300 active triplets: 16 + 1 > 8
    every = 2600 * 1299 * 1300
    # as the positive of the others of its class it is in 1300 active triplets each: 1 + 16 > 8
    active = every if near else 2 * 1299 * 1300
    assert OURS[framework](rows, labels, margin=1.0, pairwise="direct") == pytest.approx(active / every, rel=3e-7)


@every_backend
def test_too_many_positives_are_an_error_or_nan(framework):
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32), np.array([0, 0, 0, 1])
    with pytest.raises(ValueError, match="max_positives"):
        OURS[framework](x, y, max_positives=1)
    assert OURS[framework](x, y, np.array([True, True, False, True]), margin=2.0, max_positives=1) == 0.5
    if framework != "torch":  # compiled by torch a function still takes its labels from the host
        assert np.isnan(compiled(framework, max_positives=1)(x, y))


def test_rows_keep_no_graph_in_torch():
    x = torch.tensor(X, requires_grad=True)
    margin = torch.tensor(0.3, requires_grad=True)
    fraction = ours_torch.batch_all_active_fraction(x, torch.tensor(Y), margin=margin)
    assert (fraction.requires_grad, fraction.dtype, fraction.shape) == (False, torch.float32, ())
    assert ours_torch.batch_all_active_fraction(x.detach().double(), torch.tensor(Y)).dtype == torch.float64


def test_a_margin_that_is_traced_has_no_gradient_in_jax():
    gradient = jax.grad(lambda m: ours_jax.batch_all_active_fraction(X, Y, margin=m))(0.3)
    assert gradient == 0
    stacked = jax.vmap(lambda x: ours_jax.batch_all_active_fraction(x, Y))(np.stack([X, 2 * X]))
    np.testing.assert_allclose(stacked, [of_jax(X, Y), of_jax(2 * X, Y)], rtol=1e-6)
