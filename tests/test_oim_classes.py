"""The classes that hold the memory of OIM, and what each framework does with the functions."""

import io
import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]], "float32")
Y = np.array([0, -1, 0, -1], "int32")


# torch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def module(torch, **options):
    from lossproof.backends.torch import OIMLoss

    return OIMLoss(3, 3, 2, temperature=0.5, **options)


def after_one_batch(torch):
    found = module(torch)
    found.update(torch.tensor(X), torch.tensor(Y))
    return found


def test_torch_update_moves_the_buffers(torch):
    loss = after_one_batch(torch)
    half = 0.5**0.5
    np.testing.assert_allclose(loss.lookup_table, [[half, -half], [0, 0], [0, 0]], atol=1e-7)
    assert (loss.queue.tolist(), loss.head.item()) == ([[0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]], 2)


def test_torch_call_moves_nothing(torch):
    loss = after_one_batch(torch)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(torch.tensor(X, requires_grad=True), torch.tensor(Y)).backward()
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_torch_update_before_the_backward_pass_leaves_the_gradient(torch):
    gradients = []
    for early in (True, False):
        loss, rows = after_one_batch(torch), torch.tensor(X, requires_grad=True)
        value = loss(rows, torch.tensor(Y))
        if early:
            loss.update(rows, torch.tensor(Y))
        value.backward()
        gradients.append(rows.grad)
    assert torch.equal(*gradients)


def test_torch_state_comes_back_with_the_head(torch):
    loss, again, buffer = after_one_batch(torch), module(torch), io.BytesIO()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert sorted(again.state_dict()) == ["head", "lookup_table", "queue"]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in loss.state_dict().items())
    assert not list(loss.parameters())


def test_torch_update_has_no_gradient(torch):
    from lossproof.backends.torch import update_oim_memory

    rows, table, queue = (torch.zeros(4, 2, requires_grad=True) for _ in range(3))
    found = update_oim_memory(table, queue, torch.tensor(0), rows, torch.tensor(Y))
    assert not any(value.requires_grad for value in found)


def test_torch_reads_nothing_from_the_device(torch):
    from lossproof.backends.torch import oim_loss, update_oim_memory

    x, v, q = (torch.empty(n, 2, device="meta", requires_grad=True) for n in (5, 3, 4))
    y, head = (torch.empty(shape, device="meta", dtype=torch.int64) for shape in ((5,), ()))
    mask = torch.empty(5, device="meta", dtype=torch.bool)
    oim_loss(x, y, v, q, mask=mask).backward()
    moved = update_oim_memory(v, q, head, x, y, mask=mask)
    assert [tuple(value.shape) for value in (x.grad, *moved)] == [(5, 2), (3, 2), (4, 2), ()]


@pytest.mark.filterwarnings("ignore")
def test_torch_update_compiles_as_one_graph(torch):
    from lossproof.backends.torch import update_oim_memory

    torch.compiler.reset()
    compiled = torch.compile(update_oim_memory, fullgraph=True, backend="aot_eager")
    arguments = torch.ones(3, 2), torch.zeros(3, 2), torch.tensor(1), torch.tensor(X), torch.tensor(Y)
    for got, want in zip(compiled(*arguments), update_oim_memory(*arguments), strict=True):
        torch.testing.assert_close(got, want)


# Keras


@pytest.fixture
def keras():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow")
        import keras
    return keras


@pytest.mark.filterwarnings("ignore")
def test_keras_layer_trains_updates_saves_and_loads(keras, tmp_path):
    import tensorflow as tf

    from lossproof.backends.tensorflow import OIMLoss

    keras.utils.set_random_seed(0)
    rows, labels = keras.Input((2,)), keras.Input((), dtype="int32")
    normed = keras.layers.UnitNormalization(name="embedding")(keras.layers.Dense(2)(rows))
    model = keras.Model([rows, labels], OIMLoss(3, 3, 2, temperature=0.5, name="oim")(normed, labels))
    encoder = keras.Model(rows, normed)
    memory, optimizer, losses = model.get_layer("oim"), keras.optimizers.SGD(0.5), []

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model([X, Y])
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        memory.update(encoder(X), tf.constant(Y))
        return loss

    losses = [float(step()) for _ in range(5)]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert (int(memory.head), len(model.trainable_variables), losses[0] > losses[-1]) == (10 % 3, 2, True)
    assert all(np.array_equal(a, b) for a, b in zip(memory.weights, again.get_layer("oim").weights, strict=True))


@pytest.mark.parametrize("labels", [Y, Y[:, None]], ids=["(B,)", "(B, 1)"])
def test_keras_layer_of_an_empty_memory_gives_the_logarithm_of_its_size(keras, labels):
    from lossproof.backends.tensorflow import OIMLoss

    layer = OIMLoss(3, 3, 2, dtype="mixed_bfloat16")
    assert float(layer(X, labels)) == pytest.approx(np.log(6), abs=1e-6)


# JAX


def test_jax_update_is_traced_without_reading_and_carries_no_gradient():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import OIMLoss, update_oim_memory

    def total(x):
        table, queue, _ = update_oim_memory(X[:3], X[:3], jax.numpy.int32(1), x, jax.numpy.asarray(Y))
        return table.sum() + queue.sum()

    assert not jax.jit(jax.grad(total))(jax.numpy.asarray(X)).any()
    batches = jax.vmap(lambda x: update_oim_memory(X[:3], X[:3], jax.numpy.int32(1), x, jax.numpy.asarray(Y)))
    assert batches(jax.numpy.stack([X, 2 * X]))[0].shape == (2, 3, 2)
    loss = jax.jit(lambda loss: loss(X, Y, X[:3], X[:3]))(OIMLoss(temperature=0.5))
    assert loss.shape == ()


def test_jax_options_are_checked_at_construction():
    pytest.importorskip("jax")
    from lossproof.backends.jax import OIMLoss

    with pytest.raises(ValueError, match=r"^temperature must be in \(0, inf\), got 0"):
        OIMLoss(temperature=0)
