"""Weights in TensorFlow, by hand: what they multiply, what a mean divides by, and what no weight is."""

import os
import warnings
from math import inf, nan

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")

import lossproof.backends.tensorflow as backend

ROWS = np.array([[0.0, 0.5], [1.0, 0.0], [3.0, 1.0], [4.5, 0.0], [9.0, 2.0]], np.float32)
LABELS = np.array([0, 0, 1, 1, 2])
WEIGHTS = np.array([3.0, 1.0, 0.0, 0.5, 2.0], np.float32)
MASK = np.array([True, True, False, True, False])
TABLE = np.array([[1.0, 0.5], [-0.5, 2.0], [0.25, 1.0]], np.float32)
QUEUE = np.zeros((0, 2), np.float32)
LOGITS = ROWS @ TABLE.T
TARGETS = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.25, 0.75], [0.2, 0.3, 0.5], [0.0, 0.0, 2.0]], np.float32)
CALLS = {
    "triplet_margin_loss": ((ROWS, np.roll(ROWS, 1, 0), np.roll(ROWS, 2, 0)), {}),
    "contrastive_loss": ((ROWS, np.roll(ROWS, 1, 0), np.array([True, False, True, False, False])), {}),
    "cross_entropy_loss": ((LOGITS, LABELS), {"label_smoothing": 0.1}),
    "soft_cross_entropy_loss": ((LOGITS, TARGETS), {}),
    "arcface_loss": ((ROWS, LABELS, TABLE), {"scale": 4.0}),
    "cosface_loss": ((ROWS, LABELS, TABLE), {"scale": 4.0}),
    "center_loss": ((ROWS, LABELS, TABLE), {}),
    "oim_loss": ((ROWS, LABELS, TABLE, QUEUE), {"temperature": 2.0}),
    "batch_hard_triplet_loss": ((ROWS, LABELS), {"margin": 4.0}),
    "batch_all_triplet_loss": ((ROWS, LABELS), {"margin": 4.0}),
    "semi_hard_triplet_loss": ((ROWS, LABELS), {"margin": 4.0}),
    "circle_loss": ((ROWS, LABELS), {"gamma": 2.0}),
}
OF_ROWS = list(CALLS)[:8]
MINED = list(CALLS)[8:]
JOINT = (LOGITS, ROWS, LABELS, TABLE)
COUNTED = {  # by each anchor, where not one: the last row is alone with its label
    "batch_hard_triplet_loss": [1, 1, 1, 1, 0],
    "batch_all_triplet_loss": [3, 3, 3, 3, 0],
    "semi_hard_triplet_loss": [1, 1, 1, 1, 0],
}
every_loss = pytest.mark.parametrize("name", CALLS)
eager_or_not = pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
wild = pytest.mark.parametrize("wrong", [-1.0, nan, inf])


def of(name, *, graph=False, **options):
    """Return what a loss gives of the call of its name; in a graph, its weights are an argument."""
    inputs, own = CALLS[name]
    function = getattr(backend, name)
    if not graph:
        return function(*inputs, **own, **options)
    weights = options.pop("weights")
    return tf.function(lambda w: function(*inputs, **own, **options, weights=w))(tf.constant(weights))


def with_weight(wrong, place=1):
    return np.where(np.arange(5) == place, np.float32(wrong), WEIGHTS)


def close(found, want):
    np.testing.assert_allclose(found, want, rtol=2e-6, atol=1e-6)


# what they multiply, and what a mean divides by


@eager_or_not
@every_loss
def test_none_is_weighed_and_sum_adds_it(name, graph):
    weighed = (of(name, reduction="none").numpy().T * WEIGHTS).T
    close(of(name, graph=graph, reduction="none", weights=WEIGHTS), weighed)
    close(of(name, graph=graph, reduction="sum", weights=WEIGHTS), weighed.sum())


@eager_or_not
@every_loss
def test_a_mean_divides_by_the_weights_of_what_it_counts(name, graph):
    total = of(name, reduction="sum", weights=WEIGHTS) / (WEIGHTS * COUNTED.get(name, [1] * 5)).sum()
    close(of(name, graph=graph, weights=WEIGHTS), total)
    close(of(name, graph=graph, weights=np.full(5, 4.0, np.float32)), of(name))


@pytest.mark.parametrize("name", ["triplet_margin_loss", "contrastive_loss", "batch_hard_triplet_loss", "circle_loss"])
def test_mean_nonzero_divides_by_the_weights_of_positive_terms(name):
    positive = of(name, reduction="none").numpy() > 0
    assert not positive.all()
    total = of(name, reduction="sum", weights=WEIGHTS)
    close(of(name, reduction="mean_nonzero", weights=WEIGHTS), total / WEIGHTS[positive].sum())


def test_mean_nonzero_of_batch_all_divides_by_the_weights_of_positive_triplets():
    gap = np.linalg.norm(ROWS[:, None] - ROWS, axis=2)
    same = LABELS[:, None] == LABELS
    valid = (same & ~np.eye(5, dtype=bool))[:, :, None] & ~same[:, None, :]
    slack = np.where(valid, 4.0 + gap[:, :, None] - gap[:, None, :], 0.0)
    positive = (slack > 0).sum((1, 2))
    assert (positive < valid.sum((1, 2))).any()
    want = (WEIGHTS * np.maximum(slack, 0).sum((1, 2))).sum() / (WEIGHTS * positive).sum()
    close(of("batch_all_triplet_loss", reduction="mean_nonzero", weights=WEIGHTS), want)


@pytest.mark.parametrize("name", MINED)
def test_a_row_of_weight_0_is_still_met_by_other_anchors(name):
    moved = ROWS.copy()
    moved[2] += 0.75
    terms, others = (
        getattr(backend, name)(rows, LABELS, **CALLS[name][1], weights=WEIGHTS, reduction="none")
        for rows in (ROWS, moved)
    )
    assert not np.array_equal(terms, others)
    assert not np.any(terms[2])


def test_the_joint_loss_weighs_all_three_parts():
    own = backend.cross_entropy_loss(LOGITS, LABELS, label_smoothing=0.1, weights=WEIGHTS)
    triplet = backend.batch_hard_triplet_loss(ROWS, LABELS, margin=4.0, weights=WEIGHTS)
    pull = backend.center_loss(ROWS, LABELS, TABLE, factor=1.0, weights=WEIGHTS)
    found = backend.joint_loss(*JOINT, triplet_margin=4.0, center_weight=0.5, weights=WEIGHTS)
    close(found, own + triplet + 0.5 * pull)


def test_wide_weights_do_not_widen_the_loss():
    for name in CALLS:
        found = of(name, weights=WEIGHTS.astype(np.float64))
        assert found.dtype == tf.float32
        close(found, of(name, weights=WEIGHTS))


@every_loss
def test_weights_near_the_largest_number_do_not_make_nan(name):
    for weights in (np.full(5, 3e38, np.float32), np.full(5, 1e300)):
        assert not np.isnan(of(name, weights=weights))


# numbers that are no weights


@wild
@pytest.mark.parametrize("make", [np.asarray, tf.constant, tf.Variable], ids=["numpy", "eager", "variable"])
@every_loss
def test_on_the_host_what_is_no_weight_is_an_error(name, make, wrong):
    with pytest.raises(ValueError, match=r"^weights must be in \[0, inf\), got"):
        of(name, weights=make(with_weight(wrong)))


@pytest.mark.parametrize("make", [np.asarray, tf.constant], ids=["numpy", "eager"])
@every_loss
def test_a_constant_of_a_graph_that_is_no_weight_is_an_error(name, make):
    if name == "oim_loss" and make is tf.constant:  # where labels are compared in the graph, who has a weight is too
        return
    wrong = make(with_weight(-1.0))
    with pytest.raises(ValueError, match=r"weights must be in \[0, inf\), got -1.0"):
        tf.function(lambda: of(name, weights=wrong))()


@every_loss
def test_variables_of_a_graph_are_not_read(name):
    weights, mask = tf.Variable(with_weight(-1.0)), tf.Variable(MASK)
    found = tf.function(lambda: of(name, weights=weights, mask=mask, reduction="none"))().numpy()
    assert np.isnan(found[1]).any()


@wild
@every_loss
def test_in_a_graph_what_is_no_weight_makes_its_own_term_nan_and_no_other(name, wrong):
    found = of(name, graph=True, reduction="none", weights=with_weight(wrong)).numpy()
    right = of(name, graph=True, reduction="none", weights=with_weight(0.0)).numpy()
    assert np.isnan(found[1]).any()
    np.testing.assert_array_equal(np.delete(found, 1, 0), np.delete(right, 1, 0))
    assert np.isnan(of(name, graph=True, weights=with_weight(wrong)))


@pytest.mark.parametrize("jit_compile", [False, True])
@every_loss
def test_a_nan_weight_gives_no_gradient_that_is_nan(name, jit_compile):
    (first, *rest), own = CALLS[name]

    @tf.function(jit_compile=jit_compile)
    def slope(x, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = getattr(backend, name)(x, *rest, **own, weights=weights)
        return loss, tape.gradient(loss, x)

    loss, gradient = slope(tf.constant(first), tf.constant(with_weight(nan)))
    assert np.isnan(loss)
    close(gradient, slope(tf.constant(first), tf.constant(with_weight(0.0)))[1])


def test_the_weight_of_a_masked_or_unlabelled_row_is_not_looked_at():
    wild = np.array([3.0, 1.0, nan, 0.5, -inf], np.float32)
    for name in CALLS:
        for graph in (False, True):
            want = of(name, weights=WEIGHTS, mask=MASK)
            close(of(name, graph=graph, weights=wild, mask=MASK), want)
    labels = np.array([0, 0, -1, 1, -1])
    assert np.isfinite(backend.oim_loss(ROWS, labels, TABLE, QUEUE, weights=wild))


# rows of weight 0, and gradients


@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "compiled"])
@pytest.mark.parametrize("content", [nan, inf])
@pytest.mark.parametrize("name", OF_ROWS)
def test_rows_of_weight_0_may_hold_nan(name, content, jit_compile):
    (first, *rest), own = CALLS[name]
    differentiable = [x for x in rest if x.dtype == np.float32]

    def step(x, tables, weights):
        with tf.GradientTape() as tape:
            tape.watch([x, *tables])
            given = iter(tables)
            others = [next(given) if y.dtype == np.float32 else y for y in rest]
            loss = getattr(backend, name)(x, *others, **own, weights=weights)
        return loss, tape.gradient(loss, [x, *tables], unconnected_gradients="zero")

    step = step if jit_compile is None else tf.function(step, jit_compile=jit_compile)
    spoilt = first.copy()
    spoilt[2] = content
    loss, gradients = step(tf.constant(spoilt), [tf.constant(y) for y in differentiable], tf.constant(WEIGHTS))
    want, wants = step(tf.constant(first), [tf.constant(y) for y in differentiable], tf.constant(WEIGHTS))
    close(loss, want)
    assert not np.any(gradients[0][2])
    for gradient, other in zip(gradients, wants, strict=True):
        close(tf.convert_to_tensor(gradient), tf.convert_to_tensor(other))


@pytest.mark.parametrize("name", OF_ROWS[2:])
def test_the_label_of_a_row_of_weight_0_is_that_of_a_masked_one(name):
    if name in ("oim_loss", "soft_cross_entropy_loss"):  # a row without an identity has a label of its own
        return
    (first, _, *rest), own = CALLS[name]
    labels = np.where(WEIGHTS == 0, -100, LABELS)
    close(getattr(backend, name)(first, labels, *rest, **own, weights=WEIGHTS), of(name, weights=WEIGHTS))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("content", [0.0, nan, inf])
@every_loss
def test_all_weights_0_is_0_and_so_is_the_gradient(name, content, jit_compile):
    (first, *rest), own = CALLS[name]

    @tf.function(jit_compile=jit_compile)
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = getattr(backend, name)(x, *rest, **own, weights=tf.zeros(5))
        return loss, tape.gradient(loss, x)

    spoilt = first.copy()
    spoilt[1] += content
    loss, gradient = slope(tf.constant(spoilt))
    assert float(loss) == 0
    assert not np.any(gradient)


@every_loss
def test_no_gradient_reaches_the_weights(name):
    weights = tf.Variable(WEIGHTS)
    with tf.GradientTape() as tape:
        loss = of(name, weights=weights)
    assert tape.gradient(loss, weights) is None


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["no weights", "weights"])
@pytest.mark.parametrize("reduction", ["none", "mean", "mean_nonzero"])
@pytest.mark.parametrize("name", MINED)
def test_a_graph_that_meets_a_row_of_nan_gives_what_eager_gives(name, reduction, weights):
    spoilt = ROWS.copy()
    spoilt[1] = nan

    def loss(x):
        return getattr(backend, name)(x, LABELS, **CALLS[name][1], weights=weights, reduction=reduction)

    np.testing.assert_allclose(tf.function(loss)(tf.constant(spoilt)), loss(spoilt), rtol=1e-6)


# shapes and dtypes


@pytest.mark.parametrize(
    "wrong",
    [WEIGHTS[:, None], WEIGHTS[:1], WEIGHTS.astype(int), WEIGHTS > 0, WEIGHTS.astype(np.float16), WEIGHTS.tolist()],
    ids=["(B, 1)", "(1,)", "integers", "booleans", "narrower", "list"],
)
@every_loss
def test_weights_of_another_shape_or_dtype_are_an_error(name, wrong):
    with pytest.raises((TypeError, ValueError), match=r"^weights must"):
        of(name, weights=wrong)
    with pytest.raises((TypeError, ValueError), match=r"^weights must"):
        backend.joint_loss(*JOINT, weights=wrong)


def test_weights_of_a_wide_table_are_as_wide_as_the_embeddings():
    half, wide = ROWS.astype(np.float16), TABLE.astype(np.float64)
    found = backend.center_loss(half, LABELS, wide, weights=WEIGHTS.astype(np.float16))
    assert found.dtype == tf.float64
    close(found, backend.center_loss(ROWS, LABELS, TABLE, weights=WEIGHTS))


@pytest.mark.parametrize("rows", [2, 5])
def test_lengths_that_a_graph_does_not_know_are_compared_when_it_runs(rows):
    specs = [tf.TensorSpec([None, 2]), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None])]

    @tf.function(input_signature=specs)
    def loss(x, y, w):
        return backend.batch_hard_triplet_loss(x, y, weights=w)

    if rows == len(ROWS):
        close(loss(ROWS, LABELS, WEIGHTS), backend.batch_hard_triplet_loss(ROWS, LABELS, weights=WEIGHTS))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            loss(ROWS, LABELS, WEIGHTS[:rows])


@every_loss
def test_a_stack_of_weights_is_mapped(name):
    inputs, own = CALLS[name]
    stack = np.stack([WEIGHTS, WEIGHTS[::-1], np.ones(5, np.float32)])
    found = tf.vectorized_map(lambda w: getattr(backend, name)(*inputs, **own, weights=w), tf.constant(stack))
    close(found, [of(name, weights=weights) for weights in stack])
