"""ArcFace: the formula typed again with angles, and what each framework must bear."""

import os

import numpy as np
import pytest

from lossproof import reference

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def draw(rows=6, width=4, classes=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, width), (classes, width)))
    return x, rng.integers(0, classes, rows), w


def typed_again(x, labels, w, scale, margin, beyond):
    """Write the paper's formula with the angle itself."""
    cosine = (x / np.linalg.norm(x, axis=1)[:, None]) @ (w / np.linalg.norm(w, axis=1)[:, None]).T
    terms = []
    for row, label in enumerate(labels):
        angle, logits = np.arccos(cosine[row, label]), scale * cosine[row]
        logits[label] = scale * np.cos(angle + margin)
        if angle + margin > np.pi and beyond != "keep":
            shift = -margin * np.sin(margin) if beyond == "linear" else np.cos(margin) - 1
            logits[label] = scale * (np.cos(angle) + shift)
        terms.append(np.log(np.exp(logits).sum()) - logits[label])
    return np.array(terms)


@pytest.mark.parametrize("beyond", ["keep", "linear", "continuous"])
@pytest.mark.parametrize("margin", [0.0, 0.5, 2.0])
def test_s18_the_reference_is_the_formula(margin, beyond):
    x, labels, w = draw()
    options = {"scale": 16.0, "margin": margin, "beyond_pi": beyond, "reduction": "none"}
    want = typed_again(x, labels, w, 16.0, margin, beyond)
    np.testing.assert_allclose(reference.arcface_loss(x, labels, w, **options), want, rtol=1e-11, atol=1e-13)


def test_continuous_does_not_jump_and_linear_does():
    margin = 0.5
    for beyond, jump in (("continuous", 0.0), ("linear", np.cos(margin) + margin * np.sin(margin) - 1)):
        ends = []
        for angle in (np.pi - margin - 1e-9, np.pi - margin + 1e-9):
            x, w = np.array([[np.cos(angle), np.sin(angle)]]), np.array([[1.0, 0.0], [0.0, -1.0]])
            loss = reference.arcface_loss(x, np.array([0]), w, scale=64.0, margin=margin, beyond_pi=beyond)
            ends.append(float(loss))
        np.testing.assert_allclose(ends[1] - ends[0], 64 * jump, atol=1e-5)


def _torch_values(x, labels, w, **options):
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import arcface_loss

    return arcface_loss(torch.tensor(x), torch.tensor(labels), torch.tensor(w), **options).numpy()


def test_small_angles_keep_their_sine_in_float32():
    w = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    for angle in (3e-4, 1e-5, 3e-7):
        x = np.array([[1.0, angle]], np.float32)
        options = {"scale": 64.0, "margin": 1.5}
        want = reference.arcface_loss(x, np.array([0]), w, **options)
        np.testing.assert_allclose(_torch_values(x, np.array([0]), w, **options), want, rtol=4e-7)


@pytest.mark.filterwarnings("ignore")
def test_the_torch_module_trains_saves_and_compiles():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import ArcFaceLoss, arcface_loss

    torch.manual_seed(0)
    x, labels, _ = draw(rows=30, width=5, dtype=np.float32)
    x, labels = torch.tensor(x), torch.tensor(labels)
    loss = ArcFaceLoss(3, 5, scale=8.0)
    optimiser = torch.optim.Adam(loss.parameters(), 0.1)
    values = []
    for _ in range(10):
        optimiser.zero_grad()
        value = loss(x, labels)
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
    other = ArcFaceLoss(3, 5, scale=8.0)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(x, labels), loss(x, labels))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(x, labels), other(x, labels))
    assert loss(x.bfloat16(), labels).dtype == torch.float32
    compiled = torch.compile(loss, fullgraph=True)(x, labels)
    np.testing.assert_allclose(compiled.detach(), loss(x, labels).detach(), rtol=1e-6)
    meta = [t.to("meta") for t in (x, labels, loss.class_weights)]
    assert arcface_loss(*meta, reduction="none").shape == (30,)


def test_torch_products_ignore_autocast_in_the_backward_pass_too():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import arcface_loss

    x, labels, w = (torch.tensor(a) for a in draw(dtype=np.float32))
    want = torch.func.grad(arcface_loss)(x, labels, w)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(torch.func.grad(arcface_loss)(x, labels, w), want)
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_allclose(torch.func.grad(arcface_loss)(x, labels, w), want, rtol=1e-5, atol=1e-5)
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own code
def test_a_change_of_the_matmul_precision_recompiles():
    torch = pytest.importorskip("torch")
    from torch._dynamo.testing import CompileCounter

    from lossproof.backends.torch import arcface_loss

    x, labels, w = (torch.tensor(a) for a in draw(dtype=np.float32))
    counter = CompileCounter()
    compiled = torch.compile(arcface_loss, backend=counter, fullgraph=True)
    try:
        for precision, seen in (("highest", 1), ("medium", 2), ("highest", 2)):
            torch.set_float32_matmul_precision(precision)
            compiled(x, labels, w)
            assert counter.frame_count == seen, precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_jax_options_are_a_pytree_and_numbers_may_be_traced():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import ArcFaceLoss

    x, labels, w = draw(dtype=np.float32)
    loss = ArcFaceLoss(scale=8.0, margin=0.5, beyond_pi="linear")
    assert sorted(jax.tree.leaves(loss)) == [0.5, 8.0]
    jitted = jax.jit(lambda loss, *rows: loss(*rows))(loss, x, labels, w)
    want = reference.arcface_loss(x, labels, w, scale=8.0, beyond_pi="linear")
    np.testing.assert_allclose(jitted, want, rtol=1e-5)
    with pytest.raises(ValueError, match="margin must be in"):
        ArcFaceLoss(margin=28.6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, while it saves
def test_a_keras_model_ends_in_the_layer(tmp_path):
    pytest.importorskip("tensorflow")
    import keras

    from lossproof.backends.tensorflow import ArcFaceLoss

    def itself(_, terms):
        return terms

    keras.utils.set_random_seed(0)
    points = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    labels = (points[:, 0] > 0).astype("int64")
    rows, classes = keras.Input((3,)), keras.Input((1,), dtype="int64")
    layer = ArcFaceLoss(2, 4, scale=8.0, reduction="none", name="arcface")
    model = keras.Model([rows, classes], layer(keras.layers.Dense(4)(rows), classes))
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=itself)
    history = model.fit([points, labels], labels, epochs=6, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False).get_layer("arcface")
    assert loaded.get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded.class_weights, layer.class_weights)
