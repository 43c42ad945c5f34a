"""`sample_weight` and `class_weight` in the Keras classes: what Keras' own losses make of them, and by hand."""

import os
import warnings
from math import inf, nan

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")
    import keras

import lossproof.backends.tensorflow as backend

DRAWN = np.random.default_rng(10)
X = DRAWN.standard_normal((8, 6)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 3])  # the last is alone
W = np.array([2.0, 0.5, 0.0, 1.0, 0.0, 3.0, 0.25, 1.5], np.float32)
MASK = np.array([True, True, False, True, True, True, False, True])
LOSSES = {
    "TripletMarginLoss": {"margin": 0.5},
    "ContrastiveLoss": {"margin": 2.0},
    "CrossEntropyLoss": {"label_smoothing": 0.1},
    "SoftCrossEntropyLoss": {},
    "BatchHardTripletLoss": {"margin": 0.1},
    "BatchAllTripletLoss": {"margin": 0.1},
    "SemiHardTripletLoss": {"margin": 0.5},
    "CircleLoss": {"gamma": 4.0},
}
LAYERS = {
    "ArcFaceLoss": ((4, 6), {"scale": 4.0}),
    "CosFaceLoss": ((4, 6), {"scale": 4.0}),
    "CenterLoss": ((4, 6), {}),
    "OIMLoss": ((4, 2, 6), {"temperature": 2.0}),
}
FUNCTIONS = {name: "".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:] for name in LOSSES}
WITH_NONZERO = [name for name in LOSSES if "CrossEntropy" not in name]
every_loss = pytest.mark.parametrize("name", LOSSES)
every_layer = pytest.mark.parametrize("name", LAYERS)
both_means = pytest.mark.parametrize("reduction", ["mean", "mean_with_sample_weight"])


def targets(name):
    """Return what `fit` is given as y for a loss."""
    if name == "SoftCrossEntropyLoss":
        return np.eye(6, dtype=np.float32)[LABELS]
    return LABELS % 2 if name == "ContrastiveLoss" else LABELS


def loss(name, **options):
    return getattr(backend, name)(**{**LOSSES[name], **options})


def of(name, reduction="mean", weights=W, rows=X):
    """Return what a loss gives of a direct call."""
    return loss(name, reduction=reduction)(targets(name), rows, weights)


def layer(name, **options):
    """Return a layer with numbers in its tables."""
    sizes, own = LAYERS[name]
    made = getattr(backend, name)(*sizes, **{**own, **options})
    numbers = np.random.default_rng(1)
    made.set_weights([numbers.normal(size=w.shape) if w.dtype == "float32" else np.zeros(()) for w in made.weights])
    return made


def weighed_terms(name):
    terms = of(name, "none", None).numpy()
    return terms, (terms.T * W).T


def close(found, want):
    np.testing.assert_allclose(found, want, rtol=2e-6, atol=1e-6)


# beside Keras' own losses


def model(**compiled):
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    made.compile(keras.optimizers.SGD(0.1), **compiled)
    return made


KERAS = {
    "sparse": (backend.CrossEntropyLoss, keras.losses.SparseCategoricalCrossentropy, LABELS),
    "one-hot": (backend.SoftCrossEntropyLoss, keras.losses.CategoricalCrossentropy, np.eye(4, dtype="float32")[LABELS]),
}
WORDS = {
    "mean": "sum_over_batch_size",
    "mean_with_sample_weight": "mean_with_sample_weight",
    "sum": "sum",
    "none": None,
}
beside_keras = pytest.mark.parametrize("kind", KERAS)


@beside_keras
@pytest.mark.parametrize("reduction", WORDS)
@pytest.mark.parametrize("weights", [None, W, W[:, None]], ids=["no weights", "(B,)", "(B, 1)"])
def test_a_direct_call_gives_the_number_of_keras(kind, reduction, weights):
    ours, theirs, y = KERAS[kind]
    found = ours(reduction=reduction)(y, X[:, :4], weights)
    want = theirs(from_logits=True, reduction=WORDS[reduction])(y, X[:, :4], weights)
    close(found, np.reshape(want, found.shape))  # of weights (B, 1) Keras makes terms (B, 1)


@beside_keras
@both_means
@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_with_sample_weight_gives_the_numbers_of_keras(kind, reduction, jit_compile):
    ours, theirs, y = KERAS[kind]
    losses = ours(reduction=reduction), theirs(from_logits=True, reduction=WORDS[reduction])
    found, want = (model(loss=each, jit_compile=jit_compile) for each in losses)
    for weights in (W, W[::-1]):
        close(found.train_on_batch(X, y, weights), want.train_on_batch(X, y, weights))
    close(found.get_weights()[0], want.get_weights()[0])
    close(
        found.evaluate(X, y, batch_size=3, sample_weight=W, verbose=0),  # a last batch of two
        want.evaluate(X, y, batch_size=3, sample_weight=W, verbose=0),
    )


@beside_keras
@both_means
def test_training_with_class_weight_gives_the_numbers_of_keras(kind, reduction):
    ours, theirs, y = KERAS[kind]
    of_classes = {0: 2.0, 1: 0.5, 2: 0.0, 3: 4.0}
    losses = ours(reduction=reduction), theirs(from_logits=True, reduction=WORDS[reduction])
    found, want = (model(loss=each) for each in losses)
    close(found.train_on_batch(X, y, class_weight=of_classes), want.train_on_batch(X, y, class_weight=of_classes))
    fitted = [
        m.fit(X, y, batch_size=4, epochs=2, shuffle=False, class_weight=of_classes, verbose=0) for m in (found, want)
    ]
    close(fitted[0].history["loss"], fitted[1].history["loss"])
    close(found.get_weights()[0], want.get_weights()[0])


@pytest.mark.parametrize(
    ("reduction", "word"), [("mean_nonzero", "sum_over_batch_size"), ("sum", "sum"), ("none", None)]
)
def test_circle_gives_the_numbers_of_keras(reduction, word):
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    found = backend.CircleLoss(margin=0.4, gamma=8.0, detach_weights=False, reduction=reduction)(LABELS, unit, W)
    want = keras.losses.Circle(margin=0.4, gamma=8.0, reduction=word)(LABELS, unit, W)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@both_means
def test_a_masked_layer_gives_the_numbers_of_keras(reduction):
    made = layer("CosFaceLoss", margin=0.0, reduction=reduction)
    table = made.get_weights()[0]
    unit, table = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, table))
    logits = tf.constant(4.0 * unit @ table.T)
    logits._keras_mask = tf.constant(MASK)
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=WORDS[reduction])
    close(made(X, LABELS, MASK, W), theirs(LABELS, logits, W))
    close(made(X, LABELS, MASK), theirs(LABELS, logits))


# by hand


@every_loss
def test_none_is_weighed_and_sum_adds_it(name):
    _, weighed = weighed_terms(name)
    close(of(name, "none"), weighed)
    close(of(name, "sum"), weighed.sum())


NUMBERS = {"BatchHardTripletLoss": 7, "BatchAllTripletLoss": 3 * 2 * 5 + 2 * 2 * 1 * 6, "SemiHardTripletLoss": 10}


@every_loss
def test_mean_divides_by_the_number_of_terms_and_its_sibling_by_their_weights(name):
    _, weighed = weighed_terms(name)
    close(of(name), weighed.sum() / NUMBERS.get(name, 8))
    close(of(name, weights=4 * W), 4 * of(name))
    function = getattr(backend, FUNCTIONS[name])
    y, x = targets(name), [X]
    if name == "TripletMarginLoss":
        x, y = np.split(X, 3, axis=1), None
    if name == "ContrastiveLoss":
        x, y = np.split(X, 2, axis=1), y == 1
    want = function(*x, *([] if y is None else [y]), **LOSSES[name], weights=W)
    close(of(name, "mean_with_sample_weight"), want)
    close(of(name, "mean_with_sample_weight", 4 * W), want)
    close(of(name, "mean_with_sample_weight", None), of(name, "mean", None))


@pytest.mark.parametrize("name", WITH_NONZERO)
def test_mean_nonzero_divides_by_the_number_of_positive_terms(name):
    terms, weighed = weighed_terms(name)
    number = np.count_nonzero(terms)
    if name == "BatchAllTripletLoss":
        gap = np.linalg.norm(X[:, None] - X, axis=2)
        same = LABELS[:, None] == LABELS
        valid = (same & ~np.eye(8, dtype=bool))[:, :, None] & ~same[:, None, :]
        number = np.count_nonzero(valid & (0.1 + gap[:, :, None] - gap[:, None, :] > 0))
    assert number < NUMBERS.get(name, 8) or name == "CircleLoss"
    assert np.count_nonzero(weighed) < np.count_nonzero(terms)  # positive is what is so without weights
    close(of(name, "mean_nonzero"), weighed.sum() / number)


@pytest.mark.parametrize(
    ("name", "number"), [("BatchHardTripletLoss", 7), ("SemiHardTripletLoss", 10), ("TripletMarginLoss", 8)]
)
def test_a_soft_margin_divides_by_the_number_of_terms(name, number):
    soft = getattr(backend, name)
    total = soft(soft_margin=True, reduction="sum")(LABELS, X, W)
    for reduction in ("mean", "mean_nonzero"):
        close(soft(soft_margin=True, reduction=reduction)(LABELS, X, W), total / number)
    every = soft(soft_margin=True, reduction="sum")(LABELS, X, np.ones_like(W))
    close(soft(soft_margin=True, reduction="mean_with_sample_weight")(LABELS, X), every / number)


@every_layer
@pytest.mark.parametrize("mask", [None, MASK], ids=["plain", "masked"])
def test_a_layer_has_both_means(name, mask):
    labels = np.where(np.arange(8) == 4, -1, LABELS) if name == "OIMLoss" else LABELS
    counted = (MASK if mask is not None else np.ones(8, bool)) & (labels >= 0)
    terms = layer(name, reduction="none")(X, labels, mask).numpy()
    total = (terms * W).sum()
    close(layer(name, reduction="none")(X, labels, mask, W), terms * W)
    close(layer(name, reduction="sum")(X, labels, mask, W), total)
    close(layer(name)(X, labels, mask, W), total / counted.sum())
    close(layer(name, reduction="mean_with_sample_weight")(X, labels, mask, weights=W), total / W[counted].sum())
    close(layer(name, reduction="mean_with_sample_weight")(X, labels, mask), layer(name)(X, labels, mask))


def test_the_joint_layer_weighs_as_its_function():
    made = backend.JointLoss(6, 6)
    for weights in (W, W[:, None]):
        found = made(X, X, LABELS, MASK, weights)
        close(found, backend.joint_loss(X, X, LABELS, made.get_weights()[0], mask=MASK, weights=W))


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "int64", "uint8", "bool", tf.bfloat16.as_numpy_dtype])
def test_weights_of_every_dtype_are_the_numbers_they_hold(dtype):
    whole = np.array([2, 1, 0, 1, 3, 0, 5, 1]).astype(dtype)
    same = whole.astype(np.float32)
    for given in (whole, tf.constant(whole)):
        assert float(of("CircleLoss", weights=given)) == float(of("CircleLoss", weights=same))
        assert float(layer("CenterLoss")(X, LABELS, weights=given)) == float(
            layer("CenterLoss")(X, LABELS, weights=same)
        )
    assert float(of("CircleLoss", rows=X.astype(np.float64), weights=whole)) == pytest.approx(
        float(of("CircleLoss", weights=same)), rel=1e-6
    )


def test_a_list_of_weights_is_taken():
    assert float(of("CircleLoss", weights=W.tolist())) == float(of("CircleLoss"))


# a weight of 0 beside NaN


OF_ROWS = ["TripletMarginLoss", "ContrastiveLoss", "CrossEntropyLoss", "SoftCrossEntropyLoss"]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("name", OF_ROWS)
def test_a_row_of_weight_0_may_hold_nan(name, reduction):
    rows = X.copy()
    rows[2] = nan
    with tf.GradientTape() as tape:
        x = tf.Variable(rows)
        found = of(name, reduction, rows=x)
    close(found, of(name, reduction))
    gradient = tape.gradient(found, x).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[2].any()


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", OF_ROWS[:2])
def test_a_nan_term_of_weight_0_counts_as_positive(name, graph):
    rows = X.copy()
    rows[2] = nan
    terms, weighed = weighed_terms(name)
    number = np.count_nonzero(np.where(np.arange(8) == 2, 1, terms))
    call = (
        tf.function(lambda x, w: of(name, "mean_nonzero", w, x))
        if graph
        else lambda x, w: of(name, "mean_nonzero", w, x)
    )
    close(call(tf.constant(rows), tf.constant(W)), weighed.sum() / number)


@both_means
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_that_meets_nan_in_a_row_of_weight_0_stays_finite(reduction, jit_compile):
    rows = X.copy()
    rows[2] = nan
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=WORDS[reduction])
    ours = model(loss=backend.CrossEntropyLoss(reduction=reduction), jit_compile=jit_compile)
    found = ours.evaluate(rows, LABELS, sample_weight=W, verbose=0)
    close(found, model(loss=theirs).evaluate(X, LABELS, sample_weight=W, verbose=0))
    assert np.isnan(model(loss=theirs).evaluate(rows, LABELS, sample_weight=W, verbose=0))  # 0 times NaN


def test_a_label_that_is_none_may_have_weight_0():
    labels = np.where(W == 0, -1, LABELS)
    made = model(loss=backend.CrossEntropyLoss())
    assert made.train_on_batch(X, labels, W) == model(loss=backend.CrossEntropyLoss()).train_on_batch(X, LABELS, W)


# what is refused


@pytest.mark.parametrize("wrong", [W[:7], W[:, None, None], np.stack([W, W], 1), np.float32(1.0), 1.0], ids=np.shape)
@every_loss
def test_sample_weight_of_another_shape_is_an_error_that_names_it(name, wrong):
    with pytest.raises(ValueError, match=r"^sample_weight must have shape \(8,\), got"):
        of(name, weights=wrong)


@pytest.mark.parametrize("wrong", [np.array(["a"] * 8), W.astype(complex)], ids=["words", "complex"])
def test_sample_weight_of_no_numbers_is_an_error_that_names_it(wrong):
    with pytest.raises(TypeError, match="sample_weight must have a dtype of floats, integers or booleans, got"):
        of("CircleLoss", weights=wrong)


@pytest.mark.parametrize("wrong", [-1.0, nan, inf])
@every_loss
def test_sample_weight_out_of_range_is_an_error_or_nan(name, wrong):
    weights = np.where(np.arange(8) == 3, wrong, W)
    with pytest.raises(ValueError, match=r"^sample_weight must be in \[0, inf\), got"):
        of(name, weights=weights)
    found = tf.function(lambda w: of(name, "none", w))(tf.constant(weights)).numpy()
    assert np.isnan(found[3]).any()
    close(np.delete(found, 3, 0), np.delete(of(name, "none").numpy(), 3, 0))


@every_layer
def test_weights_of_a_layer_are_named_as_they_are_given(name):
    with pytest.raises(ValueError, match=r"weights must have shape \(8,\), got \(7,\)"):
        layer(name)(X, LABELS, weights=W[:7])
    with pytest.raises(ValueError, match=r"weights must be in \[0, inf\), got -1.0"):
        layer(name)(X, LABELS, weights=W - 1)


# what Keras does to a loss


@every_loss
def test_a_mask_of_keras_is_not_read_with_weights_either(name):
    rows = tf.constant(X)
    rows._keras_mask = tf.constant(MASK)
    assert np.array_equal(of(name, rows=rows), of(name))


@every_loss
@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_loss_is_fitted_with_weights(name, jit_compile):
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)])
    made.compile(keras.optimizers.SGD(0.01), loss=loss(name), jit_compile=jit_compile)
    y = targets(name)
    want = float(loss(name)(y, made(X), W))
    assert made.fit(X, y, batch_size=8, shuffle=False, sample_weight=W, verbose=0).history["loss"][0] == pytest.approx(
        want, rel=1e-5
    )
    data = tf.data.Dataset.from_tensor_slices((X, y, W.astype(np.float64)[:, None])).batch(8)
    assert np.isfinite(made.evaluate(data, verbose=0))


def test_weights_whose_shape_keras_forgets_are_flattened():
    @tf.function(input_signature=[tf.TensorSpec(None)])
    def found(weights):
        return of("CircleLoss", weights=weights)

    for weights in (W, W[:, None]):
        close(found(weights), of("CircleLoss"))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras itself, saving a variable
def test_a_saved_model_keeps_the_mean_and_its_weights(tmp_path):
    made = model(loss=backend.CrossEntropyLoss(reduction="mean_with_sample_weight"))
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.get_config()["reduction"] == "mean_with_sample_weight"
    assert again.evaluate(X, LABELS, sample_weight=W, verbose=0) == made.evaluate(X, LABELS, sample_weight=W, verbose=0)


@pytest.mark.parametrize("name", [*LOSSES, *LAYERS])
def test_the_config_keeps_the_mean(name):
    made = (loss if name in LOSSES else layer)(name, reduction="mean_with_sample_weight")
    config = made.get_config()
    assert config["reduction"] == "mean_with_sample_weight"
    assert type(made).from_config(config).get_config() == config


@pytest.mark.parametrize("name", [*LOSSES, *LAYERS])
def test_an_unknown_reduction_is_refused_with_the_words_that_there_are(name):
    with pytest.raises(
        ValueError, match=r"reduction must be one of .*'mean_with_sample_weight', got 'sum_over_batch_size'"
    ):
        (loss if name in LOSSES else layer)(name, reduction="sum_over_batch_size")
    with pytest.raises(ValueError, match="reduction must be one of"):
        (loss if name in LOSSES else layer)(name, reduction="average")


@every_loss
def test_the_function_refuses_the_word_of_the_class(name):
    x = np.split(X, {"TripletMarginLoss": 3, "ContrastiveLoss": 2}.get(name, 1), axis=1)
    rest = {"ContrastiveLoss": [LABELS == 1], "TripletMarginLoss": []}.get(name, [targets(name)])
    with pytest.raises(ValueError, match=r"reduction must be one of .*, got 'mean_with_sample_weight'"):
        getattr(backend, FUNCTIONS[name])(*x, *rest, reduction="mean_with_sample_weight")


@pytest.mark.parametrize("name", ["ArcFaceLoss", "CenterLoss", "JointLoss"])
def test_a_functional_model_hands_weights_to_a_layer(name):
    rows, labels, weights = keras.Input((6,)), keras.Input((), dtype="int32"), keras.Input(())
    made = backend.JointLoss(6, 6) if name == "JointLoss" else layer(name)
    given = (rows, rows, labels) if name == "JointLoss" else (rows, labels)
    whole = keras.Model([rows, labels, weights], made(*given, weights=weights))
    found = whole([X, LABELS, W])
    close(found, made(*((X, X, LABELS) if name == "JointLoss" else (X, LABELS)), weights=W))


# beside TensorFlow Addons: what its `ContrastiveLoss(margin=1.0)` of 0.23.0 printed, with tensorflow-cpu 2.15.1; its
# triplet losses take no weights, they raise


ADDONS = {
    "mean": 2.0494792461395264,
    "sum": 12.296875,
    "none": [0.0, 0.28125, 0.0, 0.0, 12.0, 0.015625],
}


@pytest.mark.parametrize("reduction", ADDONS)
def test_weighed_pairs_give_the_numbers_of_tensorflow_addons(reduction):
    apart = np.array([0.0, 0.25, 0.5, 1.5, 2.0, 0.75], np.float32)  # which is what is handed over there
    similar = np.array([1, 0, 1, 0, 1, 0])
    weights = np.array([2.0, 0.5, 0.0, 1.0, 3.0, 0.25], np.float32)
    pairs = np.stack([apart, np.zeros_like(apart)], 1)
    ours = backend.ContrastiveLoss(margin=1.0, factor=1.0, distance="euclidean", reduction=reduction)
    close(ours(1 - similar, pairs, weights), ADDONS[reduction])
