"""The logits of ArcFace without margin: their gradient in every framework, and their dtypes."""

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
X, W = RNG.standard_normal((5, 3)), RNG.standard_normal((4, 3))
X[1], W[2] = 0.0, 0.0  # at a right angle to everything
Y, COTANGENT = np.array([0, 1, 3, 0, 2]), RNG.standard_normal((5, 4))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def of_torch(x, w, cotangent):
    x, w = (torch.tensor(a, requires_grad=True) for a in (x, w))
    logits = ours_torch.arcface_logits(x, w, scale=8.0)
    (logits * torch.tensor(cotangent)).sum().backward()
    return logits.detach().numpy(), x.grad.numpy(), w.grad.numpy()


def of_jax(x, w, cotangent):
    logits, back = jax.vjp(
        lambda x, w: ours_jax.arcface_logits(x, w, scale=8.0), jax.numpy.array(x), jax.numpy.array(w)
    )
    return (logits, *back(jax.numpy.array(cotangent)))


def of_tensorflow(x, w, cotangent):
    x, w = tf.constant(x), tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch((x, w))
        logits = ours_tf.arcface_logits(x, w, scale=8.0)
    return (logits, *tape.gradient(logits, (x, w), cotangent))


OURS = {"torch": of_torch, "jax": of_jax, "tensorflow": of_tensorflow}


@pytest.mark.parametrize("framework", OURS)
def test_value_and_gradient_are_those_of_the_reference(framework):
    logits, gradients = reference.arcface_logits(X, W, scale=8.0, cotangent=COTANGENT)
    got = OURS[framework](X, W, COTANGENT)
    for found, want in zip(got, (logits, gradients["embeddings"], gradients["class_weights"]), strict=True):
        np.testing.assert_allclose(np.asarray(found), want, rtol=0, atol=1e-13)
    assert not np.asarray(got[1])[1].any()
    assert not np.asarray(got[2])[2].any()


@pytest.mark.parametrize("name", ["embeddings", "class_weights"])
def test_the_gradient_of_the_reference_is_that_of_differences(name):
    given = {"embeddings": X[[0, 2, 3]], "class_weights": W[[0, 1, 3]]}
    cotangent, step = COTANGENT[:3, :3], 1e-6
    gradient = reference.arcface_logits(**given, scale=8.0, cotangent=cotangent)[1][name]
    for place in np.ndindex(gradient.shape):
        moved = [{**given, name: given[name].copy()} for _ in range(2)]
        moved[0][name][place] += step
        moved[1][name][place] -= step
        up, down = ((cotangent * reference.arcface_logits(**m, scale=8.0)).sum() for m in moved)
        assert (up - down) / (2 * step) == pytest.approx(gradient[place], abs=1e-7)


@pytest.mark.parametrize(
    "home", [reference, ours_torch, ours_jax, ours_tf], ids=["numpy", "torch", "jax", "tensorflow"]
)
def test_without_a_margin_the_loss_is_the_cross_entropy_of_the_logits(home):
    own = {ours_torch: torch.tensor, ours_tf: tf.constant, ours_jax: jax.numpy.array}.get(home, np.array)
    x, w, y = map(own, (X, W, Y))
    loss = home.arcface_loss(x, y, w, margin=0.0, reduction="none")
    again = home.cross_entropy_loss(home.arcface_logits(x, w), y, reduction="none")
    np.testing.assert_allclose(np.asarray(loss), np.asarray(again), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "table", "want"), [("float16", "float16", "float32"), ("float16", "float64", "float64")]
)
def test_dtypes(rows, table, want):
    x, w = X.astype(rows), W.astype(table)
    found = ours_torch.arcface_logits(torch.tensor(x), torch.tensor(w)), ours_jax.arcface_logits(x, w)
    assert [str(a.dtype).removeprefix("torch.") for a in (*found, ours_tf.arcface_logits(x, w).numpy())] == [want] * 3


@pytest.mark.filterwarnings("ignore")  # what torch says of itself while it compiles
def test_compiled_traced_and_stacked():
    want = reference.arcface_logits(X, W, scale=8.0)
    compiled = torch.compile(ours_torch.arcface_logits, fullgraph=True, backend="aot_eager")
    in_jax = jax.jit(ours_jax.arcface_logits)(X, W, scale=jax.numpy.array(8.0))
    graph = tf.function(ours_tf.arcface_logits, input_signature=[tf.TensorSpec([None, 3], tf.float64)] * 2)
    for got in (compiled(torch.tensor(X), torch.tensor(W), scale=8.0), in_jax, 0.125 * graph(X, W)):
        np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=1e-13)
    each = torch.func.vmap(ours_torch.arcface_logits, in_dims=(0, None))(
        torch.tensor(np.stack([X, -X])), torch.tensor(W)
    )
    np.testing.assert_allclose(each[1].numpy(), -8 * want, rtol=0, atol=1e-12)
