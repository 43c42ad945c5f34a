"""Class weights: torch's own numbers, what holds them in each framework's class, and what each framework must bear."""

import importlib
import os

import numpy as np
import pytest

from lossproof import reference

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RNG = np.random.default_rng(7)
LOGITS, LABELS = RNG.standard_normal((6, 4)).astype(np.float32), np.array([0, 1, 2, 3, 1, 1])
TARGETS, WEIGHTS = RNG.random((6, 4)).astype(np.float32), np.array([4.0, 0.5, 0.0, 1.25], np.float32)
ROWS = np.array([1.0, 2.0, 0.5, 0.0, 1.0, 3.0], np.float32)
MASK = np.array([True, True, False, True, True, True])
GIVEN = {"cross_entropy_loss": LABELS, "soft_cross_entropy_loss": TARGETS}
CLASSES = {"cross_entropy_loss": "CrossEntropyLoss", "soft_cross_entropy_loss": "SoftCrossEntropyLoss"}
every_loss = pytest.mark.parametrize("loss", GIVEN)
every_framework = pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])


def backend(framework):
    pytest.importorskip(framework)
    return importlib.import_module(f"lossproof.backends.{framework}")


def arrays(framework, *given):
    if framework == "torch":
        torch = importlib.import_module("torch")
        return [torch.from_numpy(np.array(a)) for a in given]
    return list(given)


@every_loss
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_s24_the_reference_is_the_cross_entropy_of_torch(loss, smoothing, reduction):
    torch = pytest.importorskip("torch")
    z = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    given = torch.tensor(GIVEN[loss], dtype=None if loss == "cross_entropy_loss" else torch.float64)
    options = {"label_smoothing": smoothing, "reduction": reduction}
    want = torch.nn.functional.cross_entropy(z, given, weight=torch.tensor(WEIGHTS).double(), **options)
    (slope,) = torch.autograd.grad(want.sum(), z)
    found, gradients = getattr(reference, loss)(
        LOGITS, GIVEN[loss], class_weights=WEIGHTS, **options, cotangent=np.ones(want.shape)
    )
    np.testing.assert_allclose(found, want.detach(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(gradients["logits"], slope, rtol=1e-12, atol=1e-15)


@every_framework
@every_loss
def test_a_class_has_them_from_its_construction(framework, loss):
    module = backend(framework)
    logits, given, c, mask, w = arrays(framework, LOGITS, GIVEN[loss], WEIGHTS, MASK, ROWS)
    own = getattr(module, CLASSES[loss])(class_weights=c, label_smoothing=0.1)
    units = {"weights": ROWS, "mask": MASK}
    options = {"class_weights": WEIGHTS, "label_smoothing": 0.1}
    if framework == "tensorflow":
        found = own(given, logits)
        want = getattr(reference, loss)(LOGITS, GIVEN[loss], **options)
    else:
        found = own(logits, given, mask, w)
        want = getattr(reference, loss)(LOGITS, GIVEN[loss], **units, **options)
    np.testing.assert_allclose(float(found), want, rtol=1e-6)


@every_framework
@every_loss
@pytest.mark.parametrize("wrong", [[1.0, -1.0], [np.nan, 1.0], [1.0, np.inf], [[1.0, 1.0]], []], ids=str)
def test_a_class_refuses_what_is_no_class_weight_at_its_construction(framework, loss, wrong):
    (c,) = arrays(framework, np.array(wrong, np.float32))
    with pytest.raises(ValueError, match=r"^class_weights must"):
        getattr(backend(framework), CLASSES[loss])(class_weights=c)


@every_framework
@every_loss
def test_weights_of_another_number_of_classes_are_refused_by_their_shape(framework, loss):
    logits, given, c = arrays(framework, LOGITS, GIVEN[loss], WEIGHTS[:3])
    with pytest.raises(ValueError, match=r"^class_weights must have shape \(4,\), got \(3,\)"):
        getattr(backend(framework), loss)(logits, given, class_weights=c)


@every_framework
@every_loss
@pytest.mark.parametrize("content", [1e38, 1e-45])
def test_no_class_weight_is_so_large_or_so_small_that_the_loss_is_nan(framework, loss, content):
    logits, given, c = arrays(framework, LOGITS, GIVEN[loss], np.full(4, content, np.float32))
    for smoothing in (0.0, 0.1):
        found = getattr(backend(framework), loss)(logits, given, class_weights=c, label_smoothing=smoothing)
        assert not np.isnan(float(found))


@every_loss
def test_a_module_holds_them_as_torch_does(loss):
    torch = pytest.importorskip("torch")
    kind = getattr(backend("torch"), CLASSES[loss])
    own, theirs = kind(class_weights=torch.tensor(WEIGHTS)), torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))
    assert list(own.state_dict()) == ["class_weights"]
    assert list(theirs.state_dict()) == ["weight"]
    assert not list(kind().state_dict())
    assert not list(own.parameters())
    logits, given = arrays("torch", LOGITS, GIVEN[loss])
    wide = given.double() if loss.startswith("soft") else given
    assert own(logits.double(), wide).dtype == torch.float64  # which widens the buffer
    loaded = kind(class_weights=torch.ones(4))
    loaded.load_state_dict(own.state_dict())
    assert loaded(logits, given) == own(logits, given)
    assert own.half()(logits.half(), given if loss.startswith("cross") else given.half()).dtype == torch.float32


@every_loss
def test_a_keras_class_writes_them_down_as_numbers(loss):
    keras = pytest.importorskip("keras")
    kind = getattr(backend("tensorflow"), CLASSES[loss])
    own = kind(class_weights=WEIGHTS.tolist(), label_smoothing=0.1)
    assert own.get_config()["class_weights"] == [4.0, 0.5, 0.0, 1.25]
    assert kind().get_config()["class_weights"] is None
    again = keras.losses.deserialize(keras.losses.serialize(own))
    assert float(again(GIVEN[loss], LOGITS)) == float(own(GIVEN[loss], LOGITS))
    with pytest.raises(TypeError, match=r"^class_weights must be numbers"):
        kind(class_weights=["one", "two"])


@pytest.mark.parametrize("reduction", ["mean", "mean_with_sample_weight"])
def test_the_means_of_keras_count_a_row_with_the_class_weight_of_its_label(reduction):
    own = backend("tensorflow").CrossEntropyLoss(class_weights=WEIGHTS, reduction=reduction)
    counted = np.ones(6) if reduction == "mean" else ROWS
    total = reference.cross_entropy_loss(LOGITS, LABELS, weights=ROWS, class_weights=WEIGHTS, reduction="sum")
    np.testing.assert_allclose(float(own(LABELS, LOGITS, ROWS)), total / (counted * WEIGHTS[LABELS]).sum(), rtol=1e-6)


@every_loss
def test_they_are_a_leaf_without_gradient(loss):
    jax = pytest.importorskip("jax")
    kind = getattr(backend("jax"), CLASSES[loss])
    own = kind(class_weights=jax.numpy.asarray(WEIGHTS))
    assert len(jax.tree.leaves(own)) == 2
    assert len(jax.tree.leaves(kind())) == 1
    slope = jax.jit(jax.grad(lambda tree: tree(LOGITS, GIVEN[loss])))(own)
    np.testing.assert_array_equal(slope.class_weights, np.zeros(4))


@every_loss
def test_in_a_graph_of_jax_a_wild_one_makes_each_term_nan(loss):
    jax = pytest.importorskip("jax")
    function = getattr(backend("jax"), loss)
    own = jax.jit(lambda c: function(LOGITS, GIVEN[loss], class_weights=c, mask=MASK, reduction="none"))
    np.testing.assert_array_equal(np.isnan(own(np.array([1.0, -1.0, 1.0, 1.0], np.float32))), MASK)


@every_loss
def test_a_function_of_tensorflow_compares_a_number_of_classes_that_it_did_not_know(loss):
    tf = pytest.importorskip("tensorflow")
    function = getattr(backend("tensorflow"), loss)
    known = tf.function(
        lambda c: function(LOGITS, GIVEN[loss], class_weights=c), input_signature=[tf.TensorSpec([None], tf.float32)]
    )
    np.testing.assert_allclose(
        known(WEIGHTS), getattr(reference, loss)(LOGITS, GIVEN[loss], class_weights=WEIGHTS), rtol=1e-6
    )
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        known(WEIGHTS[:1])
