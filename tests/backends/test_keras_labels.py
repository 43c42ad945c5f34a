"""Labels, dtypes and losses as Keras and eager TensorFlow hand them over."""

import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")
    import keras

import lossproof.backends.tensorflow as backend
from lossproof.conformance.host.arrays import INTEGERS

X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
TABLE = np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32)
Y = np.arange(8) % 4
OF_LABELS = ["BatchHardTripletLoss", "BatchAllTripletLoss", "SemiHardTripletLoss", "CircleLoss", "CrossEntropyLoss"]
RANGED = {
    "cross_entropy_loss": lambda x, y: backend.cross_entropy_loss(x, y),
    "arcface_loss": lambda x, y: backend.arcface_loss(x, y, TABLE),
    "cosface_loss": lambda x, y: backend.cosface_loss(x, y, TABLE),
    "center_loss": lambda x, y: backend.center_loss(x, y, TABLE),
    "oim_loss": lambda x, y: backend.oim_loss(x, y, TABLE, TABLE[:2], unlabelled=-7),
    "joint_loss": lambda x, y: backend.joint_loss(x, x, y, TABLE),
    "update_centers": lambda x, y: backend.update_centers(TABLE, x, y),
}
every_class = pytest.mark.parametrize("name", OF_LABELS)


def loss(name):
    return getattr(backend, name)()


# floats that hold whole numbers


@every_class
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", tf.bfloat16.as_numpy_dtype], ids=str)
@pytest.mark.parametrize("shape", [(8,), (8, 1)], ids=str)
def test_whole_floats_are_the_integers_they_hold(name, dtype, shape):
    labels = Y[:, None].reshape(shape)
    assert float(loss(name)(labels.astype(dtype), X)) == float(loss(name)(labels, X))


@pytest.mark.parametrize(
    ("dtype", "first"), [("float16", 2**11), ("float32", 2**24), ("float64", 2**53), (tf.bfloat16.as_numpy_dtype, 2**8)]
)
def test_a_float_that_stands_for_two_integers_is_no_label(dtype, first):
    terms = backend.CircleLoss(reduction="none")
    for label, known in ((first - 1, True), (-first + 1, True), (first, False), (0.5, False), (np.nan, False)):
        found = terms(np.array([label, label, 0], dtype), X[:3])
        assert np.isnan(found).any() == (not known)


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf, 2.0**24])
def test_a_float_that_is_no_label_makes_its_own_term_nan(wrong):
    labels = Y.astype(np.float32)
    labels[3] = wrong
    with tf.GradientTape() as tape:
        x = tf.Variable(X)
        terms = backend.CrossEntropyLoss(reduction="none")(labels[:, None], x)
    gradient = tape.gradient(terms, x).numpy()
    assert np.isnan(terms).tolist() == [row == 3 for row in range(8)]
    assert np.isfinite(gradient).all(axis=1).tolist() == [True] * 8
    assert not gradient[3].any()


def test_numbers_0_and_1_say_which_pairs_are_dissimilar():
    same = backend.ContrastiveLoss(reduction="none")
    pairs, apart = np.concatenate([X, X[::-1] + 1], 1), Y % 2
    want = same(apart.astype(bool), pairs).numpy()
    for labels in (apart, apart.astype(np.float32), apart.astype(np.float32)[:, None]):
        assert same(labels, pairs).numpy().tolist() == want.tolist()
    assert np.isnan(same(np.full(8, 2.0, np.float32), pairs)).all()


def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])


@every_class
@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_takes_labels_as_floats(name, jit_compile):
    losses = []
    for labels in (Y, Y.astype(np.float64), Y.astype(np.float32)[:, None]):
        fitted = model()
        fitted.compile(keras.optimizers.SGD(0.01), loss=loss(name), jit_compile=jit_compile)
        losses.append(fitted.fit(X, labels, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses, [losses[0]] * 3, rtol=1e-6)


LAYERS = {
    "ArcFaceLoss": lambda: backend.ArcFaceLoss(4, 4),
    "CosFaceLoss": lambda: backend.CosFaceLoss(4, 4),
    "CenterLoss": lambda: backend.CenterLoss(4, 4),
    "OIMLoss": lambda: backend.OIMLoss(4, 2, 4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_an_input_without_a_dtype_gives_labels_to_a_layer(name):
    rows, labels = keras.Input((4,)), keras.Input(())  # float32
    keras.utils.set_random_seed(0)
    layer = LAYERS[name]()
    whole = keras.Model([rows, labels], layer(rows, labels))
    assert float(whole([X, Y.astype(np.float32)])) == float(layer(X, Y))
    assert np.isnan(float(whole([X, Y + 0.5])))


def test_large_integers_are_not_cast_to_floats_on_their_way():
    labels = np.array([2**24, 2**24 + 1, 2**24, 2**24 + 1])
    fitted = model()
    fitted.compile(loss=loss("BatchHardTripletLoss"))
    want = float(backend.batch_hard_triplet_loss(fitted(X[:4]), labels))
    assert fitted.evaluate(X[:4], labels, verbose=0) == pytest.approx(want, abs=1e-6)


# what is said to whom


@pytest.mark.parametrize(
    ("function", "instead"),
    [
        ("batch_hard_triplet_loss", "BatchHardTripletLoss\\(\\) belongs into compile"),
        ("batch_all_triplet_loss", "BatchAllTripletLoss\\(\\) belongs into compile"),
        ("semi_hard_triplet_loss", "SemiHardTripletLoss\\(\\) belongs into compile"),
        ("circle_loss", "CircleLoss\\(\\) belongs into compile"),
        ("cross_entropy_loss", "CrossEntropyLoss\\(\\) belongs into compile"),
        ("triplet_margin_loss", "TripletMarginLoss\\(\\) belongs into compile"),
        ("contrastive_loss", "ContrastiveLoss\\(\\) belongs into compile"),
        ("center_loss", "the layer CenterLoss belongs into the model"),
        ("arcface_loss", "the layer ArcFaceLoss belongs into the model"),
        ("cosface_loss", "the layer CosFaceLoss belongs into the model"),
        ("oim_loss", "the layer OIMLoss belongs into the model"),
        ("joint_loss", "the layer JointLoss belongs into the model"),
    ],
)
def test_a_function_in_compile_names_the_class_to_use(function, instead):
    fitted = model()
    fitted.compile(loss=getattr(backend, function))
    with pytest.raises(TypeError, match=f"{function} must be called with its own arguments.*{instead}"):
        fitted.fit(X, Y, verbose=0)


def test_two_arguments_of_a_legal_call_are_not_taken_for_those_of_keras():
    assert backend.circle_loss(X, Y).shape == ()
    with pytest.raises(TypeError, match="labels must have an integer dtype, got float32"):
        backend.circle_loss(X, labels=Y.astype(np.float32))


@pytest.mark.parametrize(
    "weights", [{"sample_weight": np.ones(8)}, {"class_weight": dict.fromkeys(range(4), 1.0)}], ids=str
)
def test_weights_of_fit_that_are_1_change_nothing(weights):
    losses = []
    for given in ({}, weights):
        fitted = model()
        fitted.compile(loss=loss("CircleLoss"))
        losses += fitted.fit(X, Y, verbose=0, **given).history["loss"]
    assert losses[0] == losses[1]


# labels on the host


@pytest.mark.parametrize("name", RANGED)
@pytest.mark.parametrize("make", [np.asarray, tf.constant, tf.Variable], ids=["numpy", "eager", "variable"])
def test_a_label_out_of_range_is_an_error_where_it_can_be_read(name, make):
    labels = Y.copy()
    labels[2] = -100
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\], got -100"):
        RANGED[name](X, make(labels))


@pytest.mark.parametrize("name", RANGED)
def test_a_label_out_of_range_is_nan_or_nothing_where_it_cannot_be_read(name):
    labels = Y.copy()
    labels[2] = -100
    found = tf.function(RANGED[name])(X, tf.constant(labels)).numpy()
    assert np.isnan(found) if found.shape == () else np.isfinite(found).all()


def test_the_label_of_a_masked_row_is_not_looked_at():
    labels, mask = tf.constant([-100, 1]), tf.constant([False, True])
    assert np.isfinite(backend.cross_entropy_loss(X[:2], labels, mask=mask))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("make", [np.asarray, tf.constant], ids=["numpy", "tensor"])
def test_the_ends_of_every_integer_dtype_are_labels(dtype, make):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    labels, plain = np.array([low, high, low, high, 1, 1], dtype), np.array([0, 1, 0, 1, 2, 2])
    for mask in (None, np.array([True] * 5 + [False])):
        for name in ("batch_hard_triplet_loss", "batch_all_triplet_loss", "semi_hard_triplet_loss", "circle_loss"):
            function = getattr(backend, name)
            assert float(function(X[:6], make(labels), mask=mask)) == float(function(X[:6], plain, mask=mask)), name
        found, want = backend.triplet_masks(make(labels), mask=mask), backend.triplet_masks(plain, mask=mask)
        assert all(np.array_equal(a, b) for a, b in zip(found, want, strict=True))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", RANGED)
def test_no_end_of_an_integer_dtype_becomes_an_index(name, dtype):
    for end in {np.iinfo(dtype).min, np.iinfo(dtype).max} - {0}:
        labels = np.array([0, end], dtype)
        found = tf.function(RANGED[name])(X[:2], tf.constant(labels)).numpy()
        moved = found if found.shape else None
        assert np.isnan(found) if moved is None else np.array_equal(moved[1:], TABLE[1:])
        with pytest.raises(ValueError, match=rf"labels must be in \[0, 3\], got {end}"):
            RANGED[name](X[:2], labels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_the_largest_unsigned_label_is_not_the_unlabelled_minus_one(dtype):
    labels = tf.constant([0, np.iinfo(dtype).max], dtype)
    terms = tf.function(lambda y: backend.oim_loss(X[:2], y, TABLE, TABLE[:2], reduction="none"))(labels).numpy()
    assert np.isnan(terms).tolist() == [False, True]
    assert tf.function(lambda y: backend.update_oim_memory(TABLE, TABLE[:2], np.array(0), X[:2], y)[2])(labels) == 0


# tables and logits that are wider than the embeddings

WIDE = {
    "arcface_loss": ("class_weights",),
    "cosface_loss": ("class_weights",),
    "center_loss": ("centers",),
    "oim_loss": ("lookup_table", "queue"),
    "joint_loss": ("logits", "centers"),
}


def given(name, narrow, wide):
    tables = {"queue": TABLE[:2], "logits": X}
    inputs = {n: tf.cast(tables.get(n, TABLE) / 3, wide) for n in WIDE[name]}
    return {"embeddings": tf.cast(X / 3, narrow), "labels": tf.constant(Y), **inputs}


def differentiated(name, inputs):
    rows = {n: t for n, t in inputs.items() if t.dtype.is_floating}
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = getattr(backend, name)(**inputs)
    return value, tape.gradient(value, rows, unconnected_gradients="zero")


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("bfloat16", "float32"),
        ("float16", "float32"),
        ("float32", "float64"),
        ("float16", "float64"),
        ("bfloat16", "float64"),
    ],
)
def test_a_wider_table_decides_the_arithmetic_and_each_gradient_keeps_its_dtype(name, narrow, wide):
    inputs = given(name, narrow, wide)
    value, gradients = differentiated(name, inputs)
    same = {n: tf.cast(t, wide) if t.dtype.is_floating else t for n, t in inputs.items()}
    want, wants = differentiated(name, same)
    assert (value.dtype.name, value) == (wide, want)
    for n, gradient in gradients.items():
        assert gradient.dtype == inputs[n].dtype
        np.testing.assert_array_equal(tf.convert_to_tensor(gradient), tf.cast(wants[n], gradient.dtype))


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize(("narrow", "wide"), [("float32", "float16"), ("float64", "float32"), ("bfloat16", "float16")])
def test_a_narrower_table_is_refused(name, narrow, wide):
    with pytest.raises(TypeError, match=f"{WIDE[name][0]} must have the dtype of embeddings, {narrow}, or a wider one"):
        getattr(backend, name)(**given(name, narrow, wide))


@pytest.mark.parametrize("name", ["update_centers", "update_oim_memory"])
def test_an_update_keeps_the_dtype_of_a_wider_table(name):
    x, more = tf.cast(X, "bfloat16"), {}
    tables = [tf.constant(TABLE, "float64")]
    if name == "update_oim_memory":
        tables, more = [*tables, tf.constant(TABLE[:2])], {"head": tf.constant(0)}
    found = tf.nest.flatten(getattr(backend, name)(*tables, *more.values(), x, Y))
    assert [t.dtype for t in found[: len(tables)]] == [t.dtype for t in tables]
    wide = getattr(backend, name)(*(tf.cast(t, "float64") for t in tables), *more.values(), tf.cast(x, "float64"), Y)
    np.testing.assert_allclose(found[0], tf.nest.flatten(wide)[0], rtol=1e-14)


def test_embeddings_are_checked_before_the_logits_are_compared_with_them():
    with pytest.raises(TypeError, match=r"^embeddings must have dtype float16"):
        backend.joint_loss(TABLE, TABLE.astype(int), np.arange(4), TABLE)
