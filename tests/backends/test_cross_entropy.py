"""Cross-entropy: the formula typed again, and what each framework must bear."""

import os

import numpy as np
import pytest

from lossproof import reference
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.oracle import Oracle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def draw(rows=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, classes)) * 3, rng.integers(0, classes, rows)


def typed_again(logits, labels, smoothing):
    """Add up the target's shares of -log p, with p from plain exponentials."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = np.full(logits.shape, smoothing / logits.shape[1])
    for row, label in enumerate(labels):
        target[row, label] = 1 - smoothing + smoothing / logits.shape[1]
    return (target * -np.log(p)).sum(1), p - target


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_s19_the_reference_is_the_formula(smoothing):
    logits, labels = draw()
    options = {"label_smoothing": smoothing, "reduction": "none"}
    value, gradients = reference.cross_entropy_loss(logits, labels, **options, cotangent=np.ones(6))
    want, slope = typed_again(logits, labels, smoothing)
    np.testing.assert_allclose(value, want, rtol=1e-14)
    np.testing.assert_allclose(gradients["logits"], slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_torch_has_the_same_loss_under_its_own_name(smoothing):
    torch = pytest.importorskip("torch")
    logits, labels = draw()
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(labels), label_smoothing=smoothing, reduction="none"
    )
    ours = reference.cross_entropy_loss(logits, labels, label_smoothing=smoothing, reduction="none")
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)


@pytest.mark.filterwarnings("ignore")
def test_torch_compiles_and_reads_no_device():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import CrossEntropyLoss

    logits, labels = (torch.tensor(a) for a in draw())
    loss = CrossEntropyLoss(label_smoothing=0.1, reduction="none")
    wrong = labels.clone()
    wrong[2] = 9
    compiled = torch.compile(loss, fullgraph=True)(logits, wrong)
    kept = torch.arange(6) != 2
    assert torch.isnan(compiled[2])
    np.testing.assert_allclose(compiled[kept], loss(logits, labels)[kept], rtol=1e-14)
    assert loss(logits.to("meta"), wrong.to("meta")).shape == (6,)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\], got 9"):
        loss(logits, wrong)
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1"):
        CrossEntropyLoss(label_smoothing=1.5)


def test_a_traced_smoothing_of_0_leaves_infinite_costs_out():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import CrossEntropyLoss, cross_entropy_loss

    logits, labels = np.array([[0.0, -np.inf, 0.0]], np.float32), np.array([2])
    traced = jax.jit(lambda eps: cross_entropy_loss(logits, labels, label_smoothing=eps))
    np.testing.assert_allclose(traced(0.0), np.log(2), rtol=1e-6)
    assert traced(0.5) == np.inf
    loss = CrossEntropyLoss(label_smoothing=0.25)
    assert jax.tree.leaves(loss) == [0.25]
    assert jax.eval_shape(loss, np.zeros((5, 3), np.float32), np.zeros(5, np.int32)).shape == ()
    slope = jax.grad(lambda z: cross_entropy_loss(z, labels))(logits)
    np.testing.assert_allclose(slope, [[0.5, 0.0, -0.5]], rtol=1e-6)


def test_labels_of_eight_bits_index_a_thousand_classes():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import cross_entropy_loss

    logits = np.zeros((2, 1000), np.float32)
    for labels in (np.array([3, 100], np.int8), jax.numpy.array([3, 100], "int8")):
        np.testing.assert_allclose(cross_entropy_loss(logits, labels), np.log(1000), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, while it saves
def test_keras_trains_with_it_and_keeps_it(tmp_path):
    tf = pytest.importorskip("tensorflow")
    import keras

    from lossproof.backends.tensorflow import CrossEntropyLoss

    keras.utils.set_random_seed(0)
    points = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    labels = (points[:, 0] > 0).astype("int64") + (points[:, 1] > 0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss=CrossEntropyLoss(label_smoothing=0.1))
    history = model.fit(points, labels, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    expected = reference.cross_entropy_loss(model.predict(points, verbose=0), labels, label_smoothing=0.1)
    np.testing.assert_allclose(loaded.evaluate(points, labels, batch_size=64, verbose=0), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(1,\), got \(\)"):
        CrossEntropyLoss()(tf.constant([0]), tf.zeros((1, 2)), sample_weight=1.0)


def gradient_in_torch(logits, labels, options):
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import cross_entropy_loss

    z = torch.tensor(logits, requires_grad=True)
    cross_entropy_loss(z, torch.tensor(labels), **options).backward()
    return z.grad.numpy()


def gradient_in_tensorflow(logits, labels, options):
    tf = pytest.importorskip("tensorflow")
    from lossproof.backends.tensorflow import cross_entropy_loss

    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = cross_entropy_loss(z, tf.constant(labels), **options)
    return tape.gradient(value, z).numpy()


def gradient_in_jax(logits, labels, options):
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import cross_entropy_loss

    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.grad(lambda z: cross_entropy_loss(z, labels, **options)))(logits))


@pytest.mark.parametrize("gradient", [gradient_in_torch, gradient_in_tensorflow, gradient_in_jax])
@pytest.mark.parametrize("classes", [30, 300])
def test_many_equal_shares_of_a_target_cost_no_digits(gradient, classes):
    """A log_softmax adds the shares of all classes up in its gradient: equal numbers, which all round the same way."""
    logits, labels = draw(rows=64, classes=classes)
    options = {"label_smoothing": 0.1, "reduction": "sum"}
    inputs = {"logits": 2 * logits, "labels": labels}
    case = Case("cross_entropy_loss", inputs, "float64", options, cotangent=np.ones(()))
    expected = Oracle(ours=True).expected(case)
    error = np.abs(gradient(2 * logits, labels, options) - expected.gradients["logits"].astype(float))
    assert (error <= 0.5 * expected.gradient_budget("direct")["logits"]).all()
