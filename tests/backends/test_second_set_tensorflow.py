"""A second set of rows in TensorFlow: what no judge of single calls asks."""

import doctest
import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")

import lossproof.backends.tensorflow as backend
import lossproof.reference as reference

B, M, D = 6, 9, 4
CALLS = [
    ("batch_all_triplet_loss", {}),
    ("batch_all_triplet_loss", {"pairwise": "direct", "reduction": "none"}),
    ("batch_all_triplet_loss", {"distance": "cosine", "max_positives": M, "reduction": "mean_nonzero"}),
    ("batch_hard_triplet_loss", {}),
    ("batch_hard_triplet_loss", {"include_self": True, "floor": 1e-12, "reduction": "none"}),
    ("batch_hard_triplet_loss", {"distance": "cosine", "include_self": True, "soft_margin": True}),
    ("semi_hard_triplet_loss", {"reduction": "none"}),
    ("semi_hard_triplet_loss", {"distance": "euclidean", "pairwise": "direct"}),
    ("semi_hard_triplet_loss", {"soft_margin": True, "max_positives": M}),
    ("circle_loss", {"gamma": 8.0, "reduction": "none"}),
    ("circle_loss", {"gamma": 8.0, "detach_weights": False, "reduction": "mean_nonzero"}),
]
LOSSES = ["batch_all_triplet_loss", "batch_hard_triplet_loss", "semi_hard_triplet_loss", "circle_loss"]
every_call = pytest.mark.parametrize(("name", "options"), CALLS, ids=str)
every_loss = pytest.mark.parametrize("name", LOSSES)


def drawn(seed=0, anchors=B, count=M):
    """Return a batch and a memory of other rows: some of them masked out, NaN among these, and some of them named."""
    rng = np.random.default_rng(seed)
    rows, names = rng.standard_normal((count, D)), rng.integers(0, 4, count)
    chosen = np.arange(count) != 1
    rows[~chosen] = np.nan
    return {
        "embeddings": rng.standard_normal((anchors, D)),
        "labels": rng.integers(0, 3, anchors),
        "mask": np.arange(anchors) != 2,
        "candidates": rows,
        "candidate_labels": names,
        "candidate_mask": chosen,
        "candidate_index": rng.integers(-1, count, anchors) if count else np.full(anchors, -1),
    }


def floats(inputs):
    return {name: array for name, array in inputs.items() if array.dtype.kind == "f"}


def derived(name, options, inputs):
    """Return value and gradients of the sum; arrays of floats become tensors, and others stay as they are."""
    rows = {n: tf.convert_to_tensor(a) for n, a in inputs.items() if n in ("embeddings", "candidates")}
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = getattr(backend, name)(**{**inputs, **rows}, **options)
        total = tf.reduce_sum(value)
    gradients = tape.gradient(total, rows, unconnected_gradients="zero")
    return value, {n: tf.convert_to_tensor(g) for n, g in gradients.items()}


def wanted(name, options, inputs):
    value = getattr(reference, name)(**inputs, **options)
    return getattr(reference, name)(**inputs, **options, cotangent=np.ones_like(value))


def agree(found, want, tolerance=1e-7):
    (value, gradients), (value_wanted, gradients_wanted) = found, want
    np.testing.assert_allclose(value, value_wanted, rtol=tolerance, atol=tolerance)
    for name, gradient in gradients_wanted.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=tolerance, atol=tolerance, err_msg=name)


# value and gradient


@every_call
@pytest.mark.parametrize("seed", range(2))
def test_a_memory_of_other_rows_gives_what_the_reference_gives(name, options, seed):
    inputs = drawn(seed)
    agree(derived(name, options, inputs), wanted(name, options, inputs))


@every_call
def test_the_batch_as_its_own_second_set_gives_the_plain_call(name, options):
    inputs = {n: a for n, a in drawn().items() if n in ("embeddings", "labels", "mask")}
    value, gradients = derived(name, options, inputs)
    second = {
        "candidates": inputs["embeddings"],
        "candidate_labels": inputs["labels"],
        "candidate_mask": inputs["mask"],
        "candidate_index": np.arange(B),
    }
    other, parts = derived(name, options, inputs | second)
    np.testing.assert_allclose(other, value, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(parts["embeddings"] + parts["candidates"], gradients["embeddings"], rtol=1e-6, atol=1e-8)


@every_call
@pytest.mark.parametrize(
    ("anchors", "count", "compiled"), [(B, 0, False), (0, M, False), (0, 0, False), (B, 0, True), (0, M, True)]
)
def test_no_rows_on_either_side_are_legal(name, options, anchors, count, compiled):
    inputs = drawn(anchors=anchors, count=count)
    if compiled:
        inputs = {n: tf.constant(a) for n, a in inputs.items()}
        call = tf.function(lambda given: derived(name, options, given), jit_compile=True)
        value, gradients = call(inputs)
    else:
        value, gradients = derived(name, options, inputs)
    assert not np.any(value)
    assert [gradients[n].shape for n in ("embeddings", "candidates")] == [(anchors, D), (count, D)]
    assert not np.any(gradients["embeddings"])
    assert not np.any(gradients["candidates"])


@every_loss
def test_what_a_masked_candidate_holds_changes_no_bit(name):
    inputs = drawn()
    value, gradients = derived(name, {}, inputs)
    for content in (0.0, np.inf, 1e30):
        inputs["candidates"][1] = content
        again, others = derived(name, {}, inputs)
        assert again == value
        assert all(np.array_equal(others[n], gradients[n]) for n in others)
    assert not np.any(gradients["candidates"][1])


@every_loss
def test_nan_in_a_named_candidate_reaches_all_anchors_but_those_that_name_it(name):
    inputs = drawn(2) | {"candidate_index": np.array([3, -1, 3, 4, -1, 3])}
    inputs["labels"][:] = inputs["candidate_labels"][:] = 0
    inputs["candidate_labels"][::2] = 1  # so that each anchor has positives and negatives
    clean, before = derived(name, {"reduction": "none"}, inputs)
    inputs["candidates"][3] = np.nan
    value, gradients = derived(name, {"reduction": "none"}, inputs)
    naming = inputs["candidate_index"] == 3
    meets = ~naming & inputs["mask"]
    assert np.isnan(np.asarray(value)[meets]).any(axis=-1).all()
    np.testing.assert_allclose(np.asarray(value)[naming], np.asarray(clean)[naming], rtol=1e-9, atol=1e-12)
    got, want = (np.asarray(g["embeddings"])[naming] for g in (gradients, before))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


# an index that is no candidate


@every_loss
@pytest.mark.parametrize("wrong", [M, -2, 2**31 - 1])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_wrong_index_on_the_host_is_an_error_unless_its_anchor_is_masked_out(name, wrong, tensor):
    inputs = drawn()
    inputs["candidate_index"][2] = wrong  # masked out
    given = inputs | {"candidate_index": tf.constant(inputs["candidate_index"])} if tensor else inputs
    value = getattr(backend, name)(**given)
    assert np.isfinite(value)
    inputs["candidate_index"][3] = wrong
    given = inputs | {"candidate_index": tf.constant(inputs["candidate_index"])} if tensor else inputs
    with pytest.raises(ValueError, match=rf"^candidate_index must be in \[-1, {M}\), got {wrong}$"):
        getattr(backend, name)(**given)


@every_loss
@pytest.mark.parametrize(
    ("wrong", "dtype", "compiled"),
    [(M, "int64", True), (-2, "int8", False), (2**64 - 1, "uint64", True), (2**31, "uint32", False)],
)
def test_a_wrong_index_in_a_graph_makes_the_terms_of_its_anchor_nan_and_no_other(name, wrong, dtype, compiled):
    inputs = drawn(1) | {"mask": np.ones(B, bool)}
    inputs["labels"][:] = 0
    inputs["candidate_labels"][:] = np.arange(M) % 2
    index = np.zeros(B, dtype)
    call = tf.function(lambda given: derived(name, {"reduction": "none"}, given), jit_compile=compiled)
    results = []
    for number in (0, wrong):
        index[3] = number
        results.append(call({n: tf.constant(a) for n, a in (inputs | {"candidate_index": index}).items()}))
    (clean, before), (value, gradients) = results
    assert np.isnan(np.asarray(value)[3]).any()
    others = np.arange(B) != 3
    np.testing.assert_allclose(np.asarray(value)[others], np.asarray(clean)[others], rtol=1e-9, atol=1e-12)
    assert np.isfinite(np.asarray(gradients["embeddings"])[others]).all()
    got, want = (np.asarray(g["embeddings"])[others] for g in (gradients, before))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


# dtypes


@every_loss
def test_labels_of_two_dtypes_are_the_same_where_the_integers_are(name):
    inputs = drawn() | {"labels": np.array([0, 1, 0, 1, 2, 2]), "candidate_labels": np.arange(M) % 3}
    want = getattr(reference, name)(**inputs)
    for one in ("int8", "uint16", "int32", "uint64"):
        for other in ("int64", "uint8", "uint32", "uint64"):
            typed = {
                "labels": inputs["labels"].astype(one),
                "candidate_labels": inputs["candidate_labels"].astype(other),
            }
            np.testing.assert_allclose(getattr(backend, name)(**{**inputs, **typed}), want, rtol=1e-7)


@every_loss
@pytest.mark.parametrize(("one", "other"), [("uint64", "int64"), ("int8", "uint64"), ("uint8", "int8")])
@pytest.mark.parametrize("graph", [False, True])
def test_the_largest_label_without_a_sign_is_not_minus_one(name, one, other, graph):
    inputs = drawn() | {"mask": np.ones(B, bool), "candidate_mask": np.arange(M) != 1}
    ends = [np.iinfo(d).max if d[0] == "u" else -1 for d in (one, other)]
    labels, names = (np.arange(n) % 3 for n in (B, M))
    kinds = ["uint64" if d == "uint64" else "int64" for d in (one, other)]
    typed = [a.astype(k) for a, k in zip((labels, names), kinds, strict=True)]
    for array, end in zip(typed, ends, strict=True):
        array[array == 2] = end
    typed = {n: a.astype(d) for n, a, d in zip(("labels", "candidate_labels"), typed, (one, other), strict=True)}
    want = wanted(name, {}, {**inputs, "labels": labels, "candidate_labels": np.where(names == 2, 7, names)})

    def call(given):
        return derived(name, {}, given)

    given = {n: tf.constant(a) for n, a in (inputs | typed).items()} if graph else inputs | typed
    agree(tf.function(call)(given) if graph else call(given), want)


@every_loss
@pytest.mark.parametrize(
    ("narrow", "wide", "result"),
    [("float16", "float32", "float32"), ("bfloat16", "float64", "float64"), ("float32", "float64", "float64")],
)
def test_wide_candidates_decide_the_arithmetic_and_each_gradient_has_its_own_dtype(name, narrow, wide, result):
    inputs = drawn()
    weights = np.linspace(0.5, 2.0, B)
    rows = {"embeddings": tf.cast(inputs["embeddings"], narrow), "candidates": tf.cast(inputs["candidates"], wide)}
    value, gradients = derived(name, {}, inputs | rows | {"weights": tf.cast(weights, wide)})
    assert value.dtype.name == result
    assert [g.dtype.name for g in gradients.values()] == [narrow, wide]
    exact = inputs | {n: tf.cast(t, tf.float64).numpy() for n, t in rows.items()}
    want, _ = wanted(name, {}, exact | {"weights": tf.cast(tf.cast(weights, wide), tf.float64).numpy()})
    np.testing.assert_allclose(value, want, rtol=1e-9 if wide == "float64" else 1e-4)


@every_loss
def test_candidates_narrower_than_the_embeddings_are_an_error(name):
    inputs = drawn()
    with pytest.raises(TypeError, match=r"^candidates must have the dtype of embeddings, float64, or a wider one"):
        getattr(backend, name)(**inputs | {"candidates": inputs["candidates"].astype("float32")})


# max_positives


@pytest.mark.parametrize("name", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])
def test_the_candidate_that_is_the_anchor_is_not_counted_among_its_positives(name):
    inputs = drawn() | {"mask": np.ones(B, bool), "labels": np.zeros(B, np.int8)}
    inputs["candidate_labels"] = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1], np.uint64)  # the second one is masked out
    inputs["candidate_index"] = np.array([0, 2, 3, 0, 2, 3])
    free = getattr(backend, name)(**inputs)
    assert getattr(backend, name)(**inputs, max_positives=2) == free
    with pytest.raises(ValueError, match=r"^labels must give no anchor more than max_positives=1 positives, got 2$"):
        getattr(backend, name)(**inputs, max_positives=1)
    inputs["candidate_index"][5] = 4
    with pytest.raises(ValueError, match=r"^labels must give no anchor more than max_positives=2 positives, got 3$"):
        getattr(backend, name)(**inputs, max_positives=2)
    tensors = {n: tf.constant(a) for n, a in inputs.items()}
    call = tf.function(lambda given: getattr(backend, name)(**given, max_positives=2, reduction="none"))
    found = np.isnan(call(tensors)).reshape(B, -1).any(axis=1)
    np.testing.assert_array_equal(found, np.arange(B) == 5)


# graphs and transforms


@every_call
def test_a_graph_for_any_number_of_rows_on_either_side(name, options):
    known = {n: (None, D) if a.ndim == 2 else (None,) for n, a in drawn().items()}
    signature = {n: tf.TensorSpec(known[n], a.dtype) for n, a in drawn().items()}
    call = tf.function(lambda given: derived(name, options, given), input_signature=[signature])
    for seed, (anchors, count) in enumerate([(B, M), (3, 12), (4, 0), (0, 3)]):
        inputs = drawn(seed, anchors, count)
        agree(call({n: tf.constant(a) for n, a in inputs.items()}), wanted(name, options, inputs))


@every_loss
@pytest.mark.parametrize("longer", ["candidate_labels", "candidate_mask", "candidate_index"])
def test_lengths_that_a_graph_does_not_know_are_compared_when_it_runs(name, longer):
    inputs = {n: tf.constant(a) for n, a in drawn().items()}
    signature = {n: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for n, t in inputs.items()}
    call = tf.function(lambda given: getattr(backend, name)(**given), input_signature=[signature])
    call(inputs)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)shapes of all inputs must match"):
        call(inputs | {longer: inputs[longer][:1]})


@every_loss
def test_a_width_that_a_graph_does_not_know_is_not_broadcast(name):
    inputs = {n: tf.constant(a) for n, a in drawn().items()}
    signature = {n: tf.TensorSpec([None] * t.shape.rank, t.dtype) for n, t in inputs.items()}
    call = tf.function(lambda given: getattr(backend, name)(**given), input_signature=[signature])
    np.testing.assert_allclose(call(inputs), getattr(backend, name)(**inputs), rtol=1e-9)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(inputs | {"candidates": inputs["candidates"][:, :1]})


@every_call
@pytest.mark.parametrize("shared", [(), ("candidates", "candidate_labels", "candidate_mask"), ("embeddings", "labels")])
def test_a_stack_of_calls_is_a_call_for_each(name, options, shared):
    calls = [drawn(seed) for seed in range(3)]
    calls = [one | {n: calls[0][n] for n in shared} for one in calls]
    stacked = {n: tf.constant(np.stack([one[n] for one in calls])) for n in calls[0] if n not in shared}
    whole = {n: tf.constant(calls[0][n]) for n in shared}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tf.vectorized_map(lambda each: derived(name, options, {**whole, **each}), stacked)
    for turn, one in enumerate(calls):
        agree(tf.nest.map_structure(lambda part, turn=turn: part[turn], found), wanted(name, options, one))


@every_loss
def test_a_memory_in_variables_is_taken(name):
    inputs = drawn()
    memory = {n: tf.Variable(inputs[n]) for n in inputs if n.startswith("candidate")}
    call = tf.function(lambda given: getattr(backend, name)(**given, **memory))
    batch = {n: tf.constant(inputs[n]) for n in ("embeddings", "labels", "mask")}
    want = getattr(reference, name)(**inputs)
    np.testing.assert_allclose(getattr(backend, name)(**batch, **memory), want, rtol=1e-9)
    np.testing.assert_allclose(call(batch), want, rtol=1e-9)


# memory, and how it reads


def largest(function, *arguments):
    """Return the number of entries of the largest tensor in a graph."""
    graphs = [function.get_concrete_function(*arguments).graph]
    for graph in graphs:  # those of loops and branches come after the graph that they are in
        graphs += [inner.graph for inner in graph._functions.values()]
    made = [op for graph in graphs for op in graph.get_operations() if op.type != "Placeholder"]
    shapes = [t.shape for op in made for t in op.outputs]
    assert all(shape.is_fully_defined() for shape in shapes)
    return max(shape.num_elements() for shape in shapes)


@every_loss
def test_no_array_is_larger_than_anchors_by_candidates(name):
    anchors, count = 32, 96
    inputs = {n: tf.constant(a) for n, a in drawn(0, anchors, count).items()}
    options = {"distance": "cosine"} if name == "batch_hard_triplet_loss" else {}  # others are in blocks of their own
    call = tf.function(lambda given: derived(name, options, given))
    assert anchors * count <= largest(call, inputs) <= anchors * (count + 3)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "circle_loss"])  # which has no differences
def test_differences_of_rows_come_in_blocks(name, monkeypatch):
    from lossproof.backends.tensorflow import pairwise

    options = {} if name == "batch_hard_triplet_loss" else {"pairwise": "direct"}
    inputs = drawn(0, 17, 23)
    want = derived(name, options, inputs)
    monkeypatch.setattr(pairwise, "_BLOCK", 200)
    agree(derived(name, options, inputs), want, 1e-12)


def test_the_example_of_the_function_returns_what_it_says():
    (example,) = doctest.DocTestFinder(recurse=False).find(backend.batch_hard_triplet_loss, "batch_hard_triplet_loss")
    assert len(example.examples) >= 4
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0
