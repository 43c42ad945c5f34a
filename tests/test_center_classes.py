"""The classes that hold centers, and what each framework does with the functions."""

import io
import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
X = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]], "float32")
Y = np.array([1, 0, 1], "int32")
C = np.array([[1.0, 0.0], [1.0, -1.0], [5.0, 5.0]], "float32")


# torch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def module(torch, **options):
    from lossproof.backends.torch import CenterLoss

    found = CenterLoss(3, 2, factor=0.5, reduction="sum", **options)
    with torch.no_grad():
        found.centers.copy_(torch.tensor(C))
    return found


def test_torch_centers_are_a_parameter_that_trains(torch):
    loss = module(torch)
    value = loss(torch.tensor(X), torch.tensor(Y))
    value.backward()
    assert (value.item(), loss.centers.grad.tolist()) == (7.5, [[-2.0, 0.0], [1.0, -4.0], [0.0, 0.0]])


def test_torch_update_moves_the_parameter_as_the_function_does(torch):
    from lossproof.backends.torch import update_centers

    loss = module(torch)
    value = loss(torch.tensor(X).requires_grad_(), torch.tensor(Y))
    loss.update(torch.tensor(X), torch.tensor(Y), alpha=0.25)
    assert torch.equal(loss.centers.detach(), update_centers(*map(torch.tensor, (C, X, Y)), alpha=0.25))
    value.backward()  # the centers moved in between


def test_torch_state_comes_back(torch):
    loss, other, buffer = module(torch), module(torch), io.BytesIO()
    with torch.no_grad():
        other.centers.zero_()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.centers, loss.centers)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_torch_embeddings_of_another_dtype_are_taken_in_the_wider_one(torch, dtype):
    value = module(torch)(torch.tensor(X).to(getattr(torch, dtype)), torch.tensor(Y))
    assert (value.item(), value.dtype) == (7.5, torch.float64 if dtype == "float64" else torch.float32)


def test_torch_update_has_no_gradient(torch):
    from lossproof.backends.torch import update_centers

    rows, centers = torch.tensor(X).requires_grad_(), torch.tensor(C).requires_grad_()
    assert not update_centers(centers, rows, torch.tensor(Y)).requires_grad


def test_torch_reads_nothing_from_the_device(torch):
    from lossproof.backends.torch import center_loss, update_centers

    x, c = (torch.empty(n, 2, device="meta", requires_grad=True) for n in (5, 3))
    y, mask = (torch.empty(5, device="meta", dtype=dtype) for dtype in (torch.int64, torch.bool))
    center_loss(x, y, c, mask=mask, floor=1e-12, ceiling=1e12).backward()
    assert (c.grad.shape, update_centers(c, x, y, mask=mask).shape) == ((3, 2), (3, 2))


@pytest.mark.filterwarnings("ignore")
def test_torch_compiles_as_one_graph(torch):
    from lossproof.backends.torch import update_centers

    torch.compiler.reset()
    compiled = torch.compile(update_centers, fullgraph=True, backend="aot_eager")
    arguments = [torch.tensor(a) for a in (C, X, Y)]
    torch.testing.assert_close(compiled(*arguments), update_centers(*arguments))


# Keras


@pytest.fixture
def keras():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow")
        import keras
    return keras


def layer(**options):
    from lossproof.backends.tensorflow import CenterLoss

    found = CenterLoss(3, 2, factor=0.5, reduction="sum", **options)
    found.centers.assign(C)
    return found


@pytest.mark.parametrize("labels", [Y, Y[:, None]], ids=["(B,)", "(B, 1)"])
def test_keras_layer_returns_the_loss(keras, labels):
    assert float(layer()(X, labels)) == 7.5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_keras_layer_keeps_its_precision_under_a_policy(keras, policy):
    found = layer(dtype=policy)(X + np.float32(2**-20), Y)
    assert (found.dtype, float(found)) == ("float32", pytest.approx(7.5 + 4 * 2**-20, abs=2e-6))


@pytest.mark.filterwarnings("ignore")
def test_keras_model_with_centers_is_fitted_saved_and_loaded(keras, tmp_path):
    rows, labels = keras.Input((2,)), keras.Input((), dtype="int32")
    from lossproof.backends.tensorflow import CenterLoss

    keras.utils.set_random_seed(0)
    embeddings = keras.layers.Dense(2)(rows)
    model = keras.Model([rows, labels], CenterLoss(3, 2, name="center")(embeddings, labels))
    model.compile(keras.optimizers.SGD(0.1), loss=lambda _, value: value)
    history = model.fit([X, Y], np.zeros(3), epochs=8, batch_size=3, verbose=0).history["loss"]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert history[-1] < 0.5 * history[0]
    assert np.array_equal(again.get_layer("center").centers, model.get_layer("center").centers)
    assert float(again([X, Y])) == float(model([X, Y]))


def test_keras_update_moves_the_weight(keras):
    found = layer()
    found.update(X[:1], Y[:1], alpha=1.0)
    assert np.asarray(found.centers).tolist() == [[1.0, 0.0], [1.0, 0.5], [5.0, 5.0]]


# JAX


def test_jax_compiles_differentiates_and_carries_its_options():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import CenterLoss, update_centers

    loss = CenterLoss(factor=0.5, reduction="sum")
    value, gradient = jax.jit(jax.value_and_grad(lambda c, loss: loss(X, Y, c)))(C, loss)
    assert (float(value), gradient.tolist()) == (7.5, [[-2.0, 0.0], [1.0, -4.0], [0.0, 0.0]])
    assert jax.tree.map(lambda leaf: 2 * leaf, loss).factor == 1.0
    assert not jax.grad(lambda c: update_centers(c, X, Y, alpha=0.25).sum())(C).any()
    assert jax.eval_shape(update_centers, C, X, Y).shape == (3, 2)


def test_jax_options_are_checked_at_construction():
    pytest.importorskip("jax")
    from lossproof.backends.jax import CenterLoss

    with pytest.raises(ValueError, match=r"^ceiling must be in \[2, inf\], got 1.0"):
        CenterLoss(floor=2.0, ceiling=1.0)
