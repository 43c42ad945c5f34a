"""Soft cross-entropy: the formula typed again, what other libraries give, and what each framework must bear."""

import os

import numpy as np
import pytest

from lossproof import reference
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.oracle import Oracle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def draw(rows=6, classes=4, seed=0):
    """Return logits, and targets that are probabilities."""
    rng = np.random.default_rng(seed)
    shares = rng.random((rows, classes))
    return rng.standard_normal((rows, classes)) * 3, shares / shares.sum(1, keepdims=True)


def typed_again(logits, targets, smoothing):
    """Give the targets to -log p, with p from plain exponentials; return value and both gradients."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shares = targets * (1 - smoothing) + smoothing / logits.shape[1]
    return (shares * -np.log(p)).sum(1), shares.sum(1, keepdims=True) * p - shares, (1 - smoothing) * -np.log(p)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_s23_the_reference_is_the_formula(smoothing):
    logits, targets = draw()
    targets[1] = 0.0
    targets[2] *= 3.0
    options = {"label_smoothing": smoothing, "reduction": "none"}
    value, gradients = reference.soft_cross_entropy_loss(logits, targets, **options, cotangent=np.ones(6))
    want, to_logits, to_targets = typed_again(logits, targets, smoothing)
    np.testing.assert_allclose(value, want, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(gradients["logits"], to_logits, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradients["targets"], to_targets, rtol=1e-12, atol=1e-15)


def test_a_row_with_one_target_is_the_cross_entropy_of_its_label():
    logits, _ = draw()
    labels = np.arange(6) % 4
    own = {"label_smoothing": 0.1, "reduction": "none"}
    hard = reference.cross_entropy_loss(logits, labels, **own, cotangent=np.ones(6))
    soft = reference.soft_cross_entropy_loss(logits, np.eye(4)[labels], **own, cotangent=np.ones(6))
    np.testing.assert_allclose(soft[0], hard[0], rtol=1e-14)
    np.testing.assert_allclose(soft[1]["logits"], hard[1]["logits"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_torch_has_the_same_loss_and_gradients_under_its_own_name(smoothing, reduction):
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import soft_cross_entropy_loss

    found = []
    for function in (torch.nn.functional.cross_entropy, soft_cross_entropy_loss):
        z, t = (torch.tensor(a, requires_grad=True) for a in draw())
        value = function(z, t, label_smoothing=smoothing, reduction=reduction)
        found.append((value, *torch.autograd.grad(value.sum(), (z, t))))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_optax_has_the_same_loss_and_gradients_under_its_own_name():
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    from lossproof.backends.jax import soft_cross_entropy_loss

    with jax.enable_x64(True):
        found = [
            jax.value_and_grad(loss, (0, 1))(*map(jax.numpy.asarray, draw()))
            for loss in (lambda z, t: optax.softmax_cross_entropy(z, t).mean(), soft_cross_entropy_loss)
        ]
        for theirs, ours in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_keras_has_the_same_loss_under_its_own_name(smoothing):
    pytest.importorskip("tensorflow")
    import keras

    from lossproof.backends.tensorflow import SoftCrossEntropyLoss

    logits, targets = draw()
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, dtype="float64")
    ours = SoftCrossEntropyLoss(label_smoothing=smoothing)
    np.testing.assert_allclose(ours(targets, logits), theirs(targets, logits), rtol=1e-13)


@pytest.mark.filterwarnings("ignore")
def test_torch_compiles_and_reads_no_device():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import SoftCrossEntropyLoss

    logits, targets = (torch.tensor(a) for a in draw())
    loss = SoftCrossEntropyLoss(label_smoothing=0.1, reduction="none")
    wrong = targets.clone()
    wrong[2, 1] = -0.5
    compiled = torch.compile(loss, fullgraph=True)(logits, wrong)
    kept = torch.arange(6) != 2
    assert torch.isnan(compiled[2])
    np.testing.assert_allclose(compiled[kept], loss(logits, targets)[kept], rtol=1e-14)
    assert loss(logits.to("meta"), wrong.to("meta")).shape == (6,)
    with pytest.raises(ValueError, match=r"targets must be in \[0, inf\], got -0.5; rows that take no part are named"):
        loss(logits, wrong)
    np.testing.assert_array_equal(loss(logits, wrong, kept)[kept], loss(logits, targets)[kept])
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1"):
        SoftCrossEntropyLoss(label_smoothing=1.5)
    assert repr(loss) == "SoftCrossEntropyLoss(label_smoothing=0.1, reduction='none')"


@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_jax_reads_targets_on_the_host_and_no_traced_ones(kind):
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import soft_cross_entropy_loss

    logits, targets = (np.asarray(a, np.float32) for a in draw())
    targets[2, 1], mask = -0.5, np.arange(6) != 2
    given = jax.numpy.asarray(targets) if kind == "jax" else targets
    with pytest.raises(ValueError, match=r"targets must be in \[0, inf\], got -0.5"):
        soft_cross_entropy_loss(logits, given)
    with pytest.raises(ValueError, match=r"targets must be in \[0, inf\], got -0.5"):
        jax.jit(lambda z: soft_cross_entropy_loss(z, given))(logits)  # a constant is on the host as well
    terms = jax.jit(lambda t: soft_cross_entropy_loss(logits, t, reduction="none"))(targets)
    assert np.isnan(terms).tolist() == [row == 2 for row in range(6)]
    masked = soft_cross_entropy_loss(logits, given, mask=mask)
    np.testing.assert_allclose(masked, soft_cross_entropy_loss(logits[mask], targets[mask]), rtol=1e-6)


@pytest.mark.parametrize("kind", ["numpy", "constant", "Variable"])
def test_tensorflow_reads_targets_on_the_host_and_none_in_a_graph(kind):
    tf = pytest.importorskip("tensorflow")
    from lossproof.backends.tensorflow import soft_cross_entropy_loss

    logits, targets = (np.asarray(a, np.float32) for a in draw())
    targets[2, 1], mask = -0.5, np.arange(6) != 2
    given = targets if kind == "numpy" else getattr(tf, kind)(targets)
    with pytest.raises(ValueError, match=r"targets must be in \[0, inf\], got -0.5"):
        soft_cross_entropy_loss(logits, given)
    terms = tf.function(lambda t: soft_cross_entropy_loss(logits, t, reduction="none"))(tf.constant(targets))
    assert np.isnan(terms).tolist() == [row == 2 for row in range(6)]
    masked = soft_cross_entropy_loss(logits, given, mask=mask)
    np.testing.assert_allclose(masked, soft_cross_entropy_loss(logits[mask], targets[mask]), rtol=1e-6)


def test_numpy_targets_are_read_in_a_graph_too():
    tf = pytest.importorskip("tensorflow")
    from lossproof.backends.tensorflow import soft_cross_entropy_loss

    logits, targets = (np.asarray(a, np.float32) for a in draw())
    targets[2, 1] = -0.5
    with pytest.raises(ValueError, match=r"targets must be in \[0, inf\], got -0.5"):
        tf.function(lambda z: soft_cross_entropy_loss(z, targets))(tf.constant(logits))
    mask = np.arange(6) != 2
    assert np.isfinite(tf.function(lambda z: soft_cross_entropy_loss(z, targets, mask=mask))(tf.constant(logits)))


def test_a_traced_smoothing_of_0_leaves_infinite_costs_out():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import SoftCrossEntropyLoss, soft_cross_entropy_loss

    logits, targets = np.array([[0.0, -np.inf, 0.0]], np.float32), np.array([[0.25, 0.0, 0.75]], np.float32)
    traced = jax.jit(lambda eps: soft_cross_entropy_loss(logits, targets, label_smoothing=eps))
    np.testing.assert_allclose(traced(0.0), np.log(2), rtol=1e-6)
    assert traced(0.5) == np.inf
    loss = SoftCrossEntropyLoss(label_smoothing=0.25)
    assert jax.tree.leaves(loss) == [0.25]
    assert jax.eval_shape(loss, *[np.zeros((5, 3), np.float32)] * 2).shape == ()
    slopes = jax.grad(soft_cross_entropy_loss, (0, 1))(logits, targets)
    np.testing.assert_allclose(slopes[0], [[0.25, 0.0, -0.25]], rtol=1e-6)
    np.testing.assert_allclose(slopes[1], [[np.log(2), 0.0, np.log(2)]], rtol=1e-6)


def test_a_teacher_that_rules_a_class_out_as_well_gets_no_nan():
    """The chain rule of a softmax multiplies the gradient of a target with the target itself."""
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import soft_cross_entropy_loss

    student = torch.tensor([[0.0, -torch.inf, 1.0]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[2.0, -torch.inf, 0.0]], dtype=torch.float64, requires_grad=True)
    soft_cross_entropy_loss(student, teacher.softmax(-1)).backward()
    assert torch.isfinite(student.grad).all()
    assert torch.isfinite(teacher.grad).all()
    assert teacher.grad[0, 1] == 0.0


@pytest.mark.parametrize(("narrow", "wide"), [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float64")])
def test_wider_targets_decide_the_arithmetic_and_narrower_ones_are_refused(narrow, wide):
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import soft_cross_entropy_loss

    logits, targets = (torch.tensor(a) for a in draw())
    z, t = (
        a.to(getattr(torch, dtype)).requires_grad_() for a, dtype in zip((logits, targets), (narrow, wide), strict=True)
    )
    loss = soft_cross_entropy_loss(z, t)
    gradients = torch.autograd.grad(loss, (z, t))
    assert [x.dtype for x in (loss, *gradients)] == [t.dtype, z.dtype, t.dtype]
    wanted = reference.soft_cross_entropy_loss(z.detach().double().numpy(), t.detach().double().numpy())
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-6 if wide == "float32" else 1e-14)
    with pytest.raises(
        TypeError, match=rf"^targets must have the dtype of logits, {wide}, or a wider one, got {narrow}"
    ):
        soft_cross_entropy_loss(logits.to(t.dtype), targets.to(z.dtype))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, while it saves
def test_keras_trains_with_it_and_keeps_it(tmp_path):
    tf = pytest.importorskip("tensorflow")
    import keras

    from lossproof.backends.tensorflow import SoftCrossEntropyLoss

    keras.utils.set_random_seed(0)
    points = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    targets = np.exp(3 * points) / np.exp(3 * points).sum(1, keepdims=True)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss=SoftCrossEntropyLoss(label_smoothing=0.1))
    history = model.fit(points, targets, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    expected = reference.soft_cross_entropy_loss(model.predict(points, verbose=0), targets, label_smoothing=0.1)
    np.testing.assert_allclose(loaded.evaluate(points, targets, batch_size=64, verbose=0), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(1,\), got \(\)"):
        SoftCrossEntropyLoss()(tf.constant([[1.0]]), tf.zeros((1, 1)), sample_weight=1.0)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "float32", "float64"])
def test_the_keras_class_takes_one_hot_rows_of_any_kind(dtype):
    pytest.importorskip("tensorflow")
    from lossproof.backends.tensorflow import CrossEntropyLoss, SoftCrossEntropyLoss

    logits, labels = draw()[0].astype("float32"), np.arange(6) % 4
    found = SoftCrossEntropyLoss()(np.eye(4)[labels].astype(dtype), logits)
    np.testing.assert_allclose(found, CrossEntropyLoss()(labels, logits), rtol=1e-6)


def gradient_in_torch(logits, targets):
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import soft_cross_entropy_loss

    z, t = (torch.tensor(a, requires_grad=True) for a in (logits, targets))
    return torch.autograd.grad(soft_cross_entropy_loss(z, t, reduction="sum"), (z, t))


def gradient_in_tensorflow(logits, targets):
    tf = pytest.importorskip("tensorflow")
    from lossproof.backends.tensorflow import soft_cross_entropy_loss

    z, t = tf.constant(logits), tf.constant(targets)
    with tf.GradientTape() as tape:
        tape.watch([z, t])
        value = soft_cross_entropy_loss(z, t, reduction="sum")
    return tape.gradient(value, (z, t))


def gradient_in_jax(logits, targets):
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import soft_cross_entropy_loss

    with jax.enable_x64(True):
        return jax.jit(jax.grad(lambda z, t: soft_cross_entropy_loss(z, t, reduction="sum"), (0, 1)))(logits, targets)


@pytest.mark.parametrize("gradient", [gradient_in_torch, gradient_in_tensorflow, gradient_in_jax])
@pytest.mark.parametrize("classes", [30, 300, 1000])
def test_many_equal_targets_cost_no_digits(gradient, classes):
    """The gradient adds the targets of all classes up: equal numbers, which may all round the same way.

    In which order depends on the processor: with four lanes torch needs 0.6 of the budget, with eight less than half.
    """
    logits, _ = draw(rows=64, classes=classes)
    inputs = {"logits": 2 * logits, "targets": np.full(logits.shape, 1.1 / classes)}
    case = Case("soft_cross_entropy_loss", inputs, "float64", {"reduction": "sum"}, cotangent=np.ones(()))
    expected = Oracle(ours=True).expected(case)
    found = np.asarray(gradient(*inputs.values())[0])
    error = np.abs(found - expected.gradients["logits"].astype(float))
    assert (error <= expected.gradient_budget("direct")["logits"]).all()
