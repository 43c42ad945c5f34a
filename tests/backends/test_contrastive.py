"""The contrastive loss where the judge does not look: the source systems' own formulas, and the frameworks' classes."""

import os
import pickle
import warnings

import numpy as np
import pytest

import lossproof.reference as reference

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HOMES = ["reference", "torch", "tensorflow", "jax"]


def pairs(count=9, width=4, seed=0):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.standard_normal((2, count, width)) * 0.5
    return x1, x2, rng.random(count) < 0.5


def called(home, x1, x2, dissimilar, **options):
    """Return the loss that one wing gives for numpy arrays, as a numpy array."""
    if home == "reference":
        return np.asarray(reference.contrastive_loss(x1, x2, dissimilar, **options))
    if home == "torch":
        torch = pytest.importorskip("torch")
        from lossproof.backends.torch import contrastive_loss

        return contrastive_loss(*map(torch.tensor, (x1, x2, dissimilar)), **options).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(home)
    if home == "tensorflow":
        from lossproof.backends.tensorflow import contrastive_loss

        return contrastive_loss(x1, x2, dissimilar, **options).numpy()
    from lossproof.backends.jax import contrastive_loss

    return np.asarray(
        contrastive_loss(*(a.astype("float32") if a.dtype == float else a for a in (x1, x2, dissimilar)), **options)
    )


@pytest.mark.parametrize("home", HOMES)
def test_s1_is_hadsells_equation_4(home):
    x1, x2, y = pairs()
    d = np.sqrt(((x1 - x2) ** 2).sum(1))
    want = ((1 - y) * 0.5 * d**2 + y * 0.5 * np.maximum(0, 1.25 - d) ** 2).sum()
    assert called(home, x1, x2, y, margin=1.25, reduction="sum") == pytest.approx(want, rel=2e-6)


def test_rows_that_point_apart_have_the_error_of_their_distance():
    """Under cosine d is up to 2 and its error scale 4; the error of its square is 2 d times that of d."""
    from lossproof.conformance.host.case import Case
    from lossproof.conformance.judge.oracle import Oracle

    rows = {"x1": np.array([[1.0, 2.0, 2.0]]), "x2": np.array([[-1.0, -2.0, -2.0]]), "dissimilar": np.array([False])}
    options = {"distance": "cosine", "factor": 0.5, "reduction": "none"}
    expected = Oracle(ours=True).expected(Case("contrastive_loss", rows, "float32", options))
    assert expected.value == pytest.approx(2.0)
    assert expected.value_budget("direct") == pytest.approx((4 + 3**0.5) * 2.0**-24 * 16)


@pytest.mark.parametrize("home", HOMES)
def test_s2_is_the_torch_module(home):
    x1, x2, y = pairs(seed=1)
    d = np.sqrt(((x1 - x2 + 1e-6) ** 2).sum(1))
    want = np.mean(np.where(y, np.clip(2.0 - d, 0, None) ** 2, d**2))
    assert called(home, x1, x2, y, margin=2.0, factor=1.0, eps=1e-6) == pytest.approx(want, rel=2e-6)


@pytest.mark.parametrize("home", HOMES)
def test_s3_is_the_tensorflow_code(home):
    x1, x2, y = pairs(seed=2)
    squared = ((x1 - x2) ** 2).sum(1)
    want = np.mean((1 - y) * squared + y * np.square(np.maximum(0.2 - np.sqrt(squared), 0))) / 2
    assert called(home, x1, x2, y, margin=0.2) == pytest.approx(want, rel=2e-6)


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dissimilar": np.ones((9, 1), bool)}, "dissimilar must have shape (9,), got (9, 1)"),
        ({"dissimilar": np.ones(9)}, "dissimilar must have dtype bool, got float64"),
        ({"margin": -1.0}, "margin must be in [0, inf), got -1.0"),
        ({"factor": float("nan")}, "factor must be in [0, inf), got nan"),
        ({"distance": "cosine", "p": 1.0}, "p must be left at its default with distance='cosine', got 1.0"),
    ],
)
def test_one_mistake_has_one_sentence(home, change, sentence):
    x1, x2, y = pairs()
    call = {"x1": x1, "x2": x2, "dissimilar": y} | change
    with pytest.raises((TypeError, ValueError)) as raised:
        called(home, **call)
    assert str(raised.value).replace("float32", "float64") == sentence


def test_torch_module_compiles_and_travels():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import ContrastiveLoss, contrastive_loss

    loss = pickle.loads(pickle.dumps(ContrastiveLoss(margin=0.7, factor=1.0)))
    x1, x2, y = map(torch.tensor, pairs())
    assert loss(x1, x2, y) == contrastive_loss(x1, x2, y, margin=0.7, factor=1.0)
    meta = [a.to("meta") for a in (x1, x2, y)]
    assert loss(*meta).shape == ()
    with pytest.raises(ValueError, match="margin"):
        ContrastiveLoss(margin=-1.0)


def test_jax_class_is_a_pytree():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import ContrastiveLoss, contrastive_loss

    x1, x2, y = (a.astype("float32") if a.dtype == float else a for a in pairs())
    loss = jax.jit(lambda loss, *rows: loss(*rows))
    assert loss(ContrastiveLoss(margin=0.7), x1, x2, y) == pytest.approx(contrastive_loss(x1, x2, y, margin=0.7))
    assert jax.eval_shape(contrastive_loss, x1, x2, y).shape == ()


def test_keras_loss_is_fitted_saved_and_loaded(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf = pytest.importorskip("tensorflow")
        import keras

        from lossproof.backends.tensorflow import ContrastiveLoss, contrastive_loss

        x1, x2, y = pairs(16)
        both = np.concatenate([x1, x2], axis=1).astype("float32")
        model = keras.Sequential([keras.Input((8,)), keras.layers.Identity(), keras.layers.Dense(8)])
        model.compile(optimizer="sgd", loss=ContrastiveLoss(margin=0.7))
        for labels in (y, y[:, None]):
            model.fit(both, labels, batch_size=8, epochs=1, verbose=0)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert again.loss.get_config() == model.loss.get_config()
        prediction = tf.constant(both)
        want = contrastive_loss(prediction[:, :4], prediction[:, 4:], y, margin=0.7)
        assert float(again.loss(y, prediction)) == float(want)
        assert float(again.loss(y, prediction, sample_weight=np.ones(16))) == pytest.approx(float(want))
