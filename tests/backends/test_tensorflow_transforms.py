"""Every loss through TensorFlow's transforms, against the reference: stacks, graphs, forward mode, strictness."""

import os
import re
import tempfile
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")

import lossproof.backends.tensorflow as backend
import lossproof.reference as reference

B, D, C, Q = 5, 3, 4, 3
CALLS = [
    ("triplet_margin_loss", {"swap": True}),
    ("triplet_margin_loss", {"p": np.inf, "eps": 0.0, "reduction": "none"}),
    ("triplet_margin_loss", {"distance": "cosine"}),
    ("triplet_margin_loss", {"soft_margin": True, "swap": True, "reduction": "mean_nonzero"}),
    ("contrastive_loss", {"reduction": "mean_nonzero"}),
    ("batch_hard_triplet_loss", {}),
    ("batch_hard_triplet_loss", {"distance": "cosine", "include_self": True, "reduction": "none"}),
    ("batch_hard_triplet_loss", {"soft_margin": True, "distance": "squared_euclidean"}),
    ("batch_all_triplet_loss", {}),
    ("batch_all_triplet_loss", {"distance": "cosine", "reduction": "none"}),
    ("batch_all_triplet_loss", {"pairwise": "direct", "max_positives": 4}),
    ("semi_hard_triplet_loss", {}),
    ("semi_hard_triplet_loss", {"distance": "euclidean", "pairwise": "direct", "reduction": "none"}),
    ("semi_hard_triplet_loss", {"soft_margin": True, "reduction": "mean_nonzero"}),
    ("circle_loss", {}),
    ("circle_loss", {"detach_weights": False, "reduction": "mean_nonzero"}),
    ("arcface_loss", {}),
    ("arcface_loss", {"margin": 2.5, "beyond_pi": "linear", "reduction": "none"}),
    ("cosface_loss", {}),
    ("cross_entropy_loss", {}),
    ("cross_entropy_loss", {"label_smoothing": 0.1}),
    ("soft_cross_entropy_loss", {}),
    ("soft_cross_entropy_loss", {"label_smoothing": 0.1, "reduction": "none"}),
    ("center_loss", {"floor": 1.0, "ceiling": 4.0}),
    ("oim_loss", {}),
    ("joint_loss", {}),
]
OTHERS = [
    ("update_centers", {}),
    ("update_oim_memory", {}),
    ("triplet_masks", {}),
    ("classify_triplets", {"margin": 0.2}),
    ("verification_rates", {}),
    ("verification_accuracy", {}),
    ("best_accuracy", {}),
    ("val_at_far", {"far": 0.3}),
]
every_call = pytest.mark.parametrize(("name", "options"), CALLS, ids=str)


def drawn(name, seed):
    """Return the inputs of one call: each seed has other numbers, and labels and a mask of another composition."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        return rng.standard_normal(shape)

    labels, mask, same = rng.integers(0, C, B) % (seed + 2), rng.random(B) < 0.8, rng.random(B) < 0.5
    batch = {"embeddings": rows(B, D), "labels": labels, "mask": mask}
    distances = {"distances": np.abs(rows(B)), "same": same}
    queue = batch | {"lookup_table": rows(C, D), "queue": rows(Q, D), "labels": np.where(same, labels, -1)}
    special = {
        "triplet_margin_loss": {"anchor": rows(B, D), "positive": rows(B, D), "negative": rows(B, D), "mask": mask},
        "contrastive_loss": {"x1": rows(B, D), "x2": rows(B, D), "dissimilar": same, "mask": mask},
        "cross_entropy_loss": {"logits": rows(B, C), "labels": labels, "mask": mask},
        "soft_cross_entropy_loss": {"logits": rows(B, C), "targets": np.maximum(rows(B, C), 0.0), "mask": mask},
        "joint_loss": batch | {"logits": rows(B, C), "centers": rows(C, D)},
        "center_loss": batch | {"centers": rows(C, D)},
        "update_centers": batch | {"centers": rows(C, D)},
        "arcface_loss": batch | {"class_weights": rows(C, D)},
        "cosface_loss": batch | {"class_weights": rows(C, D)},
        "oim_loss": queue,
        "update_oim_memory": queue | {"head": np.array(seed % Q)},
        "triplet_masks": {"labels": labels, "mask": mask},
        "classify_triplets": {"d_ap": np.abs(rows(B)), "d_an": np.abs(rows(B))},
        "best_accuracy": distances,
        "val_at_far": distances,
    }
    if name.startswith("verification"):
        return distances | {"thresholds": np.sort(np.abs(rows(4)))}
    return special.get(name, batch)


def wanted(name, options, inputs):
    """Return value and gradients of the reference, and the cotangent they were asked with."""
    shape = np.shape(getattr(reference, name)(**inputs, **options))
    cotangent = 1.0 + np.arange(np.prod(shape, dtype=int)).reshape(shape) / 7
    return *getattr(reference, name)(**inputs, **options, cotangent=cotangent), cotangent


def floats(inputs):
    return {name: array for name, array in inputs.items() if array.dtype.kind == "f"}


def close(got, want, tolerance=1e-9):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def derived(name, options, inputs, cotangent):
    """Return value and gradients of a call with tensors, from a tape."""
    rows = {n: tf.convert_to_tensor(t) for n, t in inputs.items() if t.dtype in (tf.float32, tf.float64)}
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = getattr(backend, name)(**{**inputs, **rows}, **options)
        product = tf.reduce_sum(value * tf.cast(cotangent, value.dtype))
    gradients = tape.gradient(product, rows, unconnected_gradients="zero")
    return value, {n: tf.convert_to_tensor(g) for n, g in gradients.items()}


def stacked(inputs):
    return {name: tf.constant(np.stack([one[name] for one in inputs])) for name in inputs[0]}


@pytest.mark.parametrize(("name", "options"), CALLS + OTHERS, ids=str)
def test_autograph_converts_nothing_of_ours(name, options, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where it writes what it converts

    @tf.function
    def step(inputs):
        return getattr(backend, name)(**inputs, **options)

    step({name: tf.constant(array) for name, array in drawn(name, 0).items()})
    converted = [re.search(r"def tf__(\w+)", path.read_text())[1] for path in tmp_path.glob("*.py")]
    assert set(converted) <= {"step"}


@every_call
@pytest.mark.parametrize("outside", [False, True], ids=["gradients inside", "gradients of the stack"])
def test_a_stack_of_calls_gives_what_each_gives_alone(name, options, outside):
    inputs = [drawn(name, seed) for seed in range(3)]
    wants = [wanted(name, options, one) for one in inputs]
    stack, cotangents = stacked(inputs), tf.constant(np.stack([want[2] for want in wants]))
    if outside:
        rows = {n: stack[n] for n in floats(inputs[0])}
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = tf.vectorized_map(lambda one: getattr(backend, name)(**one, **options), {**stack, **rows})
            product = tf.reduce_sum(value * cotangents)
        gradients = tape.gradient(product, rows, unconnected_gradients="zero")
    else:
        value, gradients = tf.vectorized_map(lambda one: derived(name, options, *one), (stack, cotangents))
    for place, (want, wants_of, _) in enumerate(wants):
        close(value[place], want)
        for n, gradient in wants_of.items():
            close(tf.convert_to_tensor(gradients[n])[place], gradient)


@pytest.mark.parametrize(("name", "options"), OTHERS, ids=str)
def test_a_stack_of_other_functions_gives_what_each_gives_alone(name, options):
    inputs = [drawn(name, seed) for seed in range(3)]
    found = tf.nest.flatten(tf.vectorized_map(lambda one: getattr(backend, name)(**one, **options), stacked(inputs)))
    for place, one in enumerate(inputs):
        for got, want in zip(found, tf.nest.flatten(getattr(reference, name)(**one, **options)), strict=True):
            close(got[place], want)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_all_triplet_loss", 0.25), ("semi_hard_triplet_loss", 0.0), ("batch_hard_triplet_loss", 0.5)],
)
def test_two_copies_of_a_batch_give_what_one_gives(name, value):
    rows, labels = tf.constant([[[3.0], [4.0], [6.0], [8.0]]] * 2), tf.constant([[0, 2, 1, 1]] * 2)
    loss = getattr(backend, name)
    assert float(loss(rows[0], labels[0], margin=1.0)) == value
    assert tf.vectorized_map(lambda one: loss(*one, margin=1.0), (rows, labels)).numpy().tolist() == [value, value]


@pytest.mark.parametrize("rows", range(2, 9))
@pytest.mark.parametrize("name", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])
def test_stacks_of_batches_of_every_size_are_right(name, rows):
    rng = np.random.default_rng(rows)
    x, y = rng.integers(-9, 9, (6, rows, 1)).astype(float), rng.integers(0, 3, (6, rows))
    got = tf.vectorized_map(lambda one: getattr(backend, name)(*one, reduction="sum"), (tf.constant(x), tf.constant(y)))
    close(got, [getattr(reference, name)(a, b, reduction="sum") for a, b in zip(x, y, strict=True)])


@every_call
def test_a_graph_of_tensorflow_1_gives_what_the_reference_gives(name, options):
    inputs = drawn(name, 1)
    want, gradients, cotangent = wanted(name, options, inputs)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        given = {n: tf.compat.v1.placeholder(a.dtype, a.shape) for n, a in inputs.items()}
        value = getattr(backend, name)(**given, **options)
        rows = [given[n] for n in gradients]
        found = tf.gradients(value, rows, tf.constant(cotangent), unconnected_gradients="zero")
        value, *found = session.run([value, *found], {given[n]: a for n, a in inputs.items()})
    close(value, want)
    for got, gradient in zip(found, gradients.values(), strict=True):
        close(got, gradient)


@pytest.mark.parametrize(("name", "options"), OTHERS, ids=str)
def test_a_graph_of_tensorflow_1_has_the_other_functions_too(name, options):
    inputs = drawn(name, 1)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        found = session.run(getattr(backend, name)(**{n: tf.constant(a) for n, a in inputs.items()}, **options))
    for got, want in zip(
        tf.nest.flatten(found), tf.nest.flatten(getattr(reference, name)(**inputs, **options)), strict=True
    ):
        close(got, want)


@every_call
@pytest.mark.parametrize("whole", [False, True], ids=["eager", "tf.function"])
def test_forward_mode_gives_the_gradient_along_a_direction(name, options, whole):
    inputs = drawn(name, 1)
    want, gradients, cotangent = wanted(name, options, inputs)
    rng = np.random.default_rng(5)
    given = {n: tf.constant(a) for n, a in inputs.items()}
    tangents = {n: tf.constant(rng.standard_normal(a.shape)) for n, a in floats(inputs).items()}

    def along():
        with tf.autodiff.ForwardAccumulator([given[n] for n in tangents], list(tangents.values())) as forward:
            value = getattr(backend, name)(**given, **options)
        return value, forward.jvp(value, unconnected_gradients="zero")

    value, change = (tf.function(along) if whole else along)()
    close(value, want)
    close(np.sum(change * cotangent), sum(np.sum(g * tangents[n]) for n, g in gradients.items()))


@pytest.fixture
def look_out_for_nan():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@every_call
@pytest.mark.parametrize("whole", [False, True], ids=["eager", "tf.function"])
def test_a_look_out_for_nan_stops_no_ordinary_call(look_out_for_nan, name, options, whole):
    inputs = {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in drawn(name, 1).items()}
    want, gradients, cotangent = wanted(name, options, inputs)
    given = {n: tf.constant(a) for n, a in inputs.items()}

    def call():
        return derived(name, options, given, cotangent)

    value, found = (tf.function(call) if whole else call)()
    close(value, want, 1e-4)
    for n, gradient in gradients.items():
        close(found[n], gradient, 1e-3)


def test_the_look_out_for_nan_still_finds_one(look_out_for_nan):
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
        backend.batch_hard_triplet_loss(tf.constant([[np.nan], [1.0], [2.0]]), tf.constant([0, 0, 1]))


@pytest.mark.parametrize("compiled", [False, True])
def test_no_filler_decides_among_rows_that_overflow(compiled):
    rows, labels = tf.constant([[-3e38], [-3e38], [3e38]]), tf.constant([0, 0, 1])

    def loss(rows, labels):
        return backend.batch_hard_triplet_loss(rows, labels, margin=1.0, reduction="none")

    got = (tf.function(loss, jit_compile=True) if compiled else loss)(rows, labels)
    assert got.numpy().tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("at", range(4))
def test_nan_ranks_before_every_coordinate(compiled, at):
    row = np.array([[np.inf, 3e38, -np.inf, 1.0]], np.float32)
    row[0, at] = np.nan
    loss = tf.function(backend.triplet_margin_loss, jit_compile=True) if compiled else backend.triplet_margin_loss
    assert np.isnan(loss(tf.constant(row), tf.zeros((1, 4)), tf.zeros((1, 4)), p=np.inf, eps=0.0))


def test_a_mask_of_dissimilar_pairs_is_not_broadcast_in_a_graph():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        rows, dissimilar = tf.constant(np.ones((4, 1))), tf.compat.v1.placeholder(tf.bool, [None])
        loss = backend.contrastive_loss(rows, 2 * rows, dissimilar)
        assert session.run(loss, {dissimilar: [False] * 4}) == 0.5
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)shapes of all inputs must match"):
            session.run(loss, {dissimilar: [False]})
