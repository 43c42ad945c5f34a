"""What is particular to the TensorFlow backend: its graphs, its dtypes, its Keras loss."""

import math
import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what TensorFlow says while it is imported is not ours to mend
    tf = pytest.importorskip("tensorflow")
    import keras

from lossproof.backends.tensorflow import TripletMarginLoss, triplet_margin_loss

DISTANCES = [
    {"distance": "cosine"},
    {"distance": "squared_euclidean"},
    {"distance": "euclidean"},
    {"p": 1.0, "eps": 0.0},
    {"p": 2.0, "eps": 0.0},
    {"p": 3.0, "eps": 0.0},
    {"p": 1.5, "eps": 0.0, "eps_at": "root"},
    {"p": 2.0, "eps": 0.5, "eps_at": "root"},
    {"p": 2.0, "eps": 0.5, "eps_at": "floor"},
    {"p": 3.0, "eps": 0.5, "eps_at": "floor"},
    {"p": math.inf, "eps": 0.0},
]
every_distance = pytest.mark.parametrize("options", DISTANCES, ids=str)
every_mode = pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
S6 = np.array([[0, 0, 1, 0, 0, 0.5], [1, 1, 1, 1, 3, 1]])
S6_OPTIONS = {"margin": 0.2, "distance": "squared_euclidean"}


def draw(*shape, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    return [tf.cast(rng.standard_normal(shape), dtype) for _ in range(3)]


def in_mode(function, mode):
    return function if mode == "eager" else tf.function(function, jit_compile=mode == "xla")


def value_and_gradients(*rows, **options):
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = triplet_margin_loss(*rows, **options)
    return value, tape.gradient(value, rows)


def second_derivatives(*rows, **options):
    """Differentiate the sum of all gradients, weighted by 1, 2, 3, ... along the features."""
    with tf.GradientTape() as tape:
        tape.watch(rows)
        _, gradients = value_and_gradients(*rows, **options)
        along = tf.range(1, rows[0].shape[-1] + 1, dtype=rows[0].dtype)
        total = tf.add_n([tf.reduce_sum(g * along) for g in gradients])
    return tape.gradient(total, rows, unconnected_gradients="zero")


def close(got, want, tolerance=1e-6):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@every_distance
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_a_compiled_call_in_float64_agrees_with_the_eager_call(options, mode):
    rows = draw(5, 3, dtype="float64")
    mask = tf.constant([True, False, True, True, True])

    def call(mask, *rows):
        value, gradients = value_and_gradients(*rows, mask=mask, margin=0.2, swap=True, **options)
        return [value, *gradients, *second_derivatives(*rows, mask=mask, margin=0.2, swap=True, **options)]

    for got, want in zip(in_mode(call, mode)(mask, *rows), call(mask, *rows), strict=True):
        assert got.dtype == tf.float64
        close(got, want, 1e-12)


def unknown(shape, jit_compile, **options):
    signature = [tf.TensorSpec(shape, tf.float32)] * 3 + [tf.TensorSpec(shape[:-1], tf.bool)]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def loss(anchor, positive, negative, mask):
        return value_and_gradients(anchor, positive, negative, mask=mask, **options)

    return loss


@every_distance
@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_unknown_batch_gives_what_a_known_one_gives(options, jit_compile):
    loss = unknown((None, 3), jit_compile, **options)
    for n in (0, 1, 4):
        rows = draw(n, 3)
        value, gradients = loss(*rows, tf.ones(n, tf.bool))
        want, wanted = value_and_gradients(*rows, **options)
        close(value, want)
        for got, gradient in zip(gradients, wanted, strict=True):
            close(got, gradient)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(1, 3), (5, 1)])
def test_rows_of_unknown_shape_are_not_broadcast(shape, jit_compile):
    loss = unknown((None, None), jit_compile)
    anchor, positive, negative = draw(5, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)shapes of all inputs must match"):
        loss(anchor, tf.ones(shape), negative, tf.ones(5, tf.bool))
    assert loss(anchor, positive, negative, tf.ones(5, tf.bool))[0].shape == ()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_mask_of_unknown_length_is_not_broadcast(jit_compile):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)shapes of all inputs must match"):
        unknown((None, 3), jit_compile)(*draw(5, 3), tf.ones(1, tf.bool))


def test_what_is_known_of_a_shape_is_checked_while_tracing():
    signature = [tf.TensorSpec((None, length)) for length in (3, 3, 2)]
    with pytest.raises(ValueError, match=r"negative must have the shape of anchor, \(None, 3\), got \(None, 2\)"):
        tf.function(triplet_margin_loss, input_signature=signature).get_concrete_function()


def test_an_unknown_rank_is_refused():
    signature = [tf.TensorSpec(None)] * 3
    with pytest.raises(ValueError, match="anchor must have a known number of axes, got shape <unknown>"):
        tf.function(triplet_margin_loss, input_signature=signature).get_concrete_function()


@every_distance
@every_mode
def test_derivatives_at_coincident_rows_are_zero(options, mode):
    options = {**options, "distance": options.get("distance", "p_norm"), "margin": 1.0, "reduction": "sum"}
    row = tf.ones((2, 3))

    def call(row):
        return value_and_gradients(row, row + 0.0, row * 1.0, **options)[1], second_derivatives(
            row, row + 0.0, row * 1.0, **options
        )

    first, second = in_mode(call, mode)(row)
    for gradient in first:
        np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
    for derivative in second:
        assert np.isfinite(derivative).all()


def test_the_second_derivative_of_a_norm_is_zero_where_the_rows_coincide():
    row = tf.ones((1, 2), tf.float64)
    far = row + tf.constant([[3.0, 4.0]], tf.float64)
    both = second_derivatives(row, row + 0.0, far, margin=9.0, eps=0.0)
    alone = second_derivatives(row, far, far + 0.0, margin=9.0, eps=0.0)
    np.testing.assert_array_equal(both[1], [[0.0, 0.0]])
    close(both[2], -alone[1].numpy(), 1e-14)


@every_distance
@every_mode
def test_nan_in_a_row_makes_its_term_nan_and_no_other(options, mode):
    def call(*rows):
        return triplet_margin_loss(*rows, margin=9.0, reduction="none", **options)

    compiled = in_mode(call, mode)
    for which in range(3):
        rows = [row.numpy() for row in draw(3, 4)]
        for row in rows:
            row[1] = 0.0  # a zero row, which under cosine has no direction
        rows[which][1, 2] = np.nan
        np.testing.assert_array_equal(np.isnan(compiled(*map(tf.constant, rows))), [False, True, False])


@every_distance
@every_mode
def test_the_content_of_a_masked_row_changes_nothing(options, mode):
    mask = np.array([True, False, True])

    def call(*rows):
        value, gradients = value_and_gradients(*rows, mask=mask, margin=9.0, **options)
        return value, *gradients

    compiled, rows = in_mode(call, mode), [row.numpy() for row in draw(3, 4)]
    want = compiled(*map(tf.constant, rows))
    for content in (np.nan, np.inf, 3e38):
        for row in rows:
            row[1, ::2] = content
        got = compiled(*map(tf.constant, rows))
        for one, other in zip(want, got, strict=True):
            np.testing.assert_array_equal(one, other)
        for gradient in got[1:]:
            np.testing.assert_array_equal(gradient[1], np.zeros(4))


@every_distance
@every_mode
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_rows_never_give_nan(options, mode, dtype):
    limits = np.finfo(dtype)
    tiny = limits.tiny
    sizes = [0.0, 3 * limits.smallest_subnormal, tiny / 4, tiny * 2, tiny**0.5, tiny**0.25]
    sizes += [1.0, limits.max**0.5, limits.max / 2, limits.max]
    numbers = np.array([sign * size for size in sizes for sign in (1, -1)], dtype)
    rng = np.random.default_rng(0)
    small = numbers[np.abs(numbers) < 4 * tiny]
    rows = [np.concatenate([rng.choice(sizes, (200, 4)) for sizes in (numbers, small)]) for _ in range(3)]

    def call(*rows):
        value, gradients = value_and_gradients(*rows, swap=True, reduction="none", **options)
        return value, *gradients

    for array in in_mode(call, mode)(*map(tf.constant, rows)):
        assert not np.isnan(array).any()


@every_mode
def test_a_legal_number_beyond_float32_never_gives_nan(mode):
    rows = [tf.constant([[3e38, 0.0]]), tf.constant([[-3e38, 0.0]]), tf.zeros((1, 2))]
    for options in ({"p": 2.0}, {"p": 3.0}, {"p": 3.0, "eps_at": "root"}, {"p": 3.0, "eps_at": "floor"}):

        def call(*rows, options=options):
            value, gradients = value_and_gradients(*rows, eps=1e300, margin=1e300, **options)
            return value, *gradients

        assert not any(np.isnan(array).any() for array in in_mode(call, mode)(*rows))


@every_mode
def test_the_lowest_of_tied_coordinates_takes_the_gradient(mode):
    def call(*rows):
        return value_and_gradients(*rows, p=math.inf, eps=0.0, reduction="sum")[1]

    rows = [[0.0, 0.0, 0.0]], [[1.0, -2.0, 2.0]], [[1.0, 0.0, 1.0]]
    anchor, positive, negative = in_mode(call, mode)(*map(tf.constant, rows))
    np.testing.assert_array_equal(anchor, [[1, 1, 0]])
    np.testing.assert_array_equal(positive, [[0, -1, 0]])
    np.testing.assert_array_equal(negative, [[-1, 0, 0]])


@every_distance
@pytest.mark.parametrize("shape", [(3,), (2, 0, 3), (2, 2, 3)])
def test_every_axis_but_the_last_is_a_batch_axis(options, shape):
    value, gradients = value_and_gradients(*draw(*shape), reduction="none", **options)
    assert value.shape == shape[:-1]
    assert all(gradient.shape == shape for gradient in gradients)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_rows_are_computed_in_float32(dtype):
    rows = draw(5, 3, dtype=dtype)
    value, gradients = value_and_gradients(*rows, margin=0.2)
    want, wanted = value_and_gradients(*(tf.cast(row, tf.float32) for row in rows), margin=0.2)
    assert value.dtype == tf.float32
    assert value == want
    for got, gradient in zip(gradients, wanted, strict=True):
        assert got.dtype.name == dtype
        np.testing.assert_array_equal(got, tf.cast(gradient, dtype))


@pytest.mark.parametrize("name", ["positive", "mask"])
def test_dtypes_are_not_mixed(name):
    anchor, positive, negative = draw(2, 3)
    rows = {"anchor": anchor, "positive": positive, "negative": negative, "mask": np.ones(2, bool)}
    rows[name] = tf.cast(rows[name], tf.float16)
    with pytest.raises(TypeError, match=f"{name} must have .*dtype.*, got float16"):
        triplet_margin_loss(**rows)


def test_a_margin_on_the_host_is_not_rounded_on_its_way():
    rows = [tf.zeros((1, 2), tf.float64)] * 3
    assert triplet_margin_loss(*rows, margin=0.2).numpy() == 0.2


def test_margin_and_eps_may_be_tensors():
    rows = draw(5, 3)
    want = triplet_margin_loss(*rows, margin=0.5, eps=0.25, p=3.0, eps_at="root")
    got = triplet_margin_loss(*rows, margin=tf.constant(0.5), eps=tf.Variable(0.25), p=3.0, eps_at="root")
    close(got, want)


def test_variables_and_numpy_arrays_are_rows():
    anchor, positive, negative = draw(5, 3)
    want = triplet_margin_loss(anchor, positive, negative)
    assert triplet_margin_loss(tf.Variable(anchor), positive.numpy(), negative) == want


BAD = [
    ({"anchor": [[0.0]]}, TypeError, "anchor must be a tf.Tensor, tf.Variable or numpy.ndarray, got list"),
    ({"anchor": np.zeros((2, 3), int)}, TypeError, "anchor must have dtype float16, .* got int64"),
    (
        {"negative": np.zeros((1, 3), "f")},
        ValueError,
        r"negative must have the shape of anchor, \(2, 3\), got",
    ),
    ({"mask": np.ones((2, 1), bool)}, ValueError, r"mask must have shape \(2,\), got \(2, 1\)"),
    ({"mask": [True, True]}, TypeError, "mask must be a tf.Tensor, tf.Variable or numpy.ndarray, got list"),
    ({"margin": -1.0}, ValueError, r"margin must be in \[0, inf\), got -1.0"),
    ({"margin": "1"}, TypeError, "margin must be a real number, got '1'"),
    ({"margin": np.zeros(2)}, TypeError, "margin must be a real number"),
    ({"margin": tf.zeros(2)}, ValueError, r"margin must be a number or have shape \(\), got shape \(2,\)"),
    ({"eps": math.nan}, ValueError, r"eps must be in \[0, inf\), got nan"),
    ({"p": 0.5}, ValueError, r"p must be in \[1, inf\], got 0.5"),
    ({"p": math.inf, "eps_at": "root"}, ValueError, "eps must be 0 with eps_at='root' and p=inf"),
    ({"distance": "cosine", "p": 1.0}, ValueError, "p must be left at its default with distance='cosine'"),
    ({"distance": "manhattan"}, ValueError, "distance must be one of .*, got 'manhattan'"),
    ({"swap": 1}, TypeError, "swap must be True or False, got 1"),
    ({"reduction": "sum_over_batch_size"}, ValueError, "reduction must be one of 'none', 'sum', 'mean'"),
]


@pytest.mark.parametrize(("bad", "error", "sentence"), BAD, ids=str)
def test_a_bad_argument_is_named(bad, error, sentence):
    anchor, positive, negative = draw(2, 3)
    with pytest.raises(error, match=sentence):
        triplet_margin_loss(**{"anchor": anchor, "positive": positive, "negative": negative, **bad})


BAD_OPTIONS = [case for case in BAD if {"eps", "p", "distance", "swap", "reduction"} & {*case[0]}]
BAD_OPTIONS += [
    ({"margin": -1.0}, ValueError, r"margin must be in \[0, inf\), got -1.0"),
    ({"margin": tf.constant(1.0)}, TypeError, "margin must be a real number, got <tf.Tensor"),
]


@pytest.mark.parametrize(("bad", "error", "sentence"), BAD_OPTIONS, ids=str)
def test_a_bad_option_of_the_keras_loss_is_refused_at_construction(bad, error, sentence):
    with pytest.raises(error, match=sentence):
        TripletMarginLoss(**bad)


@pytest.mark.parametrize(
    ("reduction", "want"), [("none", [0.95, 0.0]), ("sum", 0.95), ("mean", 0.475), ("mean_nonzero", 0.95)]
)
def test_the_keras_loss_reduces_as_the_spec_says(reduction, want):
    close(TripletMarginLoss(**S6_OPTIONS, reduction=reduction)(None, tf.constant(S6)), want, 1e-15)


def test_the_terms_of_the_keras_loss_are_unreduced_in_call():
    close(TripletMarginLoss(**S6_OPTIONS).call(None, tf.constant(S6)), [0.95, 0.0], 1e-15)


@pytest.mark.parametrize("labels", [None, np.zeros(2), np.zeros((7, 3), int), np.array(["a", "b"])], ids=str)
def test_the_keras_loss_does_not_read_labels(labels):
    close(TripletMarginLoss(**S6_OPTIONS)(labels, tf.constant(S6)), 0.475, 1e-15)


def test_the_keras_loss_divides_weighed_terms_by_their_number():
    close(TripletMarginLoss(**S6_OPTIONS)(None, S6, sample_weight=np.array([3.0, 1.0])), 3 * 0.95 / 2, 1e-15)


@pytest.mark.parametrize("shape", [(2, 4), (6,), (2, 2, 6)])
def test_a_prediction_that_is_no_three_rows_is_refused(shape):
    with pytest.raises(ValueError, match=r"y_pred must have shape \(N, 3 D\).*, got \(" + str(shape)[1:-1]):
        TripletMarginLoss()(None, tf.zeros(shape))


def test_the_config_of_the_keras_loss_makes_an_equal_loss():
    options = {
        "margin": 0.3,
        "p": math.inf,
        "eps": 0.0,
        "swap": True,
        "reduction": "mean_nonzero",
        "name": "mine",
    }
    loss = TripletMarginLoss(**options)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(copy, TripletMarginLoss)
    assert (
        copy.get_config()
        == loss.get_config()
        == {
            "soft_margin": False,
            "distance": "p_norm",
            "eps_at": "difference",
            "across_replicas": False,
            **options,
        }
    )
    assert copy(None, S6) == loss(None, S6)


def test_the_keras_loss_is_registered_under_the_name_of_the_package():
    assert keras.saving.get_registered_name(TripletMarginLoss) == "lossproof>TripletMarginLoss"


def small_model(policy, reduction, jit_compile="auto"):
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((4,)) for _ in range(3)]
    embed = keras.layers.Dense(3, dtype=policy)
    model = keras.Model(inputs, keras.layers.Concatenate(dtype=policy)([embed(row) for row in inputs]))
    model.compile(keras.optimizers.SGD(0.05), loss=TripletMarginLoss(reduction=reduction), jit_compile=jit_compile)
    return model


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("reduction", ["mean", "mean_nonzero"])
def test_a_model_learns_with_the_keras_loss(policy, reduction):
    model, rows = small_model(policy, reduction, jit_compile=True), [row.numpy() for row in draw(10, 4)]
    labels = np.zeros(10)
    history = model.fit(rows, labels, batch_size=4, epochs=8, verbose=0).history["loss"]  # a last batch of 2
    assert history[-1] < 0.9 * history[0]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras itself, saving a variable
def test_a_saved_model_keeps_its_loss(tmp_path):
    model, rows = small_model("mixed_float16", "sum"), [row.numpy() for row in draw(6, 4)]
    labels = np.zeros(6)
    model.fit(rows, labels, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    close(loaded.evaluate(rows, labels, verbose=0), model.evaluate(rows, labels, verbose=0))


def test_sample_weights_of_fit_multiply_the_loss():
    rows = [row.numpy() for row in draw(6, 4)]
    losses = [
        small_model("float32", "mean").fit(rows, np.zeros(6), sample_weight=weights, verbose=0).history["loss"]
        for weights in (np.full(6, 4), None)
    ]
    close(losses[0], 4 * np.array(losses[1]))


def test_a_dtype_policy_does_not_change_the_loss():
    policy = keras.config.dtype_policy()
    rows = draw(5, 6, dtype="float16")[0]
    want = TripletMarginLoss()(None, rows)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        got = TripletMarginLoss()(None, rows)
    finally:
        keras.config.set_dtype_policy(policy)
    assert got.dtype == tf.float32
    assert got == want
