"""What the JAX backend makes of labels on the host, of integer dtypes, of two float dtypes, and of its pytrees."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from jax_calls import CALLS, call, same, want  # noqa: E402

import lossproof.backends.jax as backend  # noqa: E402
from lossproof.spec import losses  # noqa: E402

RANGED = ["center", "oim", "arcface", "cosface", "cross-entropy", "joint"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def x64(request):
    with jax.enable_x64(request.param):
        yield request.param


# labels on the host (CV-33)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("name", RANGED)
def test_a_label_out_of_range_that_lies_on_the_host_is_an_error(name, kind):
    function, rows, rest = call(name)
    rest["labels"] = kind(np.where(np.arange(8) == 2, -100, np.abs(rest["labels"])))
    with pytest.raises(ValueError, match=r"^labels must be in \[0, 3\], got -100"):
        function(**rows, **rest)
    with pytest.raises(ValueError, match=r"^labels must be in \[0, 3\], got -100"):
        jax.jit(lambda rows: function(**rows, **rest))(rows)  # a constant of the compiled call is on the host as well


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("name", RANGED)
def test_the_label_of_a_masked_row_is_not_looked_at(name, kind):
    function, rows, rest = call(name, masked=True)
    wanted = want(name, rows, rest)
    labels = np.where(rest["mask"], rest["labels"], -100)
    value, gradients = jax.value_and_grad(lambda r: function(**r, **{**rest, "labels": kind(labels)}))(rows)
    same((value, gradients), wanted)


@pytest.mark.parametrize("name", RANGED)
def test_labels_that_are_traced_are_not_read(name):
    function, rows, rest = call(name)
    labels = jnp.full(8, -100)
    assert np.isnan(jax.jit(lambda labels: function(**rows, **{**rest, "labels": labels}))(labels))


def test_updates_refuse_a_label_out_of_range_alike():
    x, y = jnp.ones((2, 3)), jnp.array([0, 7])
    with pytest.raises(ValueError, match=r"^labels must be in \[0, 3\], got 7"):
        backend.update_centers(jnp.ones((4, 3)), x, y)
    with pytest.raises(ValueError, match=r"^labels must be in \[0, 3\], got 7"):
        backend.update_oim_memory(jnp.ones((4, 3)), jnp.ones((2, 3)), jnp.int32(0), x, y)


# both ends of every integer dtype (CV-31, CV-32)


def ends(dtype):
    limits = np.iinfo(dtype)
    return limits.min, limits.max, limits.max - 1


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["hard", "all", "semi", "circle"])
def test_labels_at_the_ends_of_their_dtype_are_what_they_say_or_are_refused(name, dtype, x64):
    function, rows, _ = call(name, batch=6)
    low, high, next_to_it = ends(dtype)
    labels = np.array([low, low, high, high, next_to_it, next_to_it], dtype)
    renamed = np.array([0, 0, 1, 1, 2, 2])
    step = jax.value_and_grad(lambda rows: function(**rows, labels=labels))
    if not x64 and np.iinfo(dtype).bits == 64:
        with pytest.raises(ValueError, match=r"^labels must be in \["):
            step(rows)
    else:
        same(step(rows), want(name, rows, {"labels": renamed}))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", RANGED)
def test_the_largest_label_is_no_index_of_a_small_table(name, dtype, x64):
    function, rows, rest = call(name)
    if not x64 and np.iinfo(dtype).bits == 64:
        pytest.skip("JAX has no such arrays without x64")
    for end in ends(dtype)[:2]:
        if end == 0:
            continue  # the first row of the table
        if name == "oim" and end == -1:
            continue
        labels = jnp.asarray(np.array([0, 0, 0, 0, 0, 0, 0, end], dtype))
        assert labels.dtype == dtype
        assert np.isnan(jax.jit(lambda labels: function(**rows, **{**rest, "labels": labels}))(labels))


def test_a_masked_label_beyond_32_bits_is_not_looked_at():
    function, rows, rest = call("hard", masked=True)
    wanted = want("hard", rows, rest)
    rest["labels"] = np.where(rest["mask"], rest["labels"], 2**40)
    with jax.enable_x64(False):
        same(jax.value_and_grad(lambda rows: function(**rows, **rest))(rows), wanted)


@pytest.mark.parametrize("dtype", ["int4", "uint4"])
def test_integers_of_four_bits_are_refused(dtype):
    function, rows, _ = call("hard")
    with pytest.raises(TypeError, match=r"^labels must have an integer dtype, got"):
        function(**rows, labels=jnp.zeros(8, dtype))


# a table, or logits, wider than the embeddings (CV-26)

TABLES = {
    "center": ["centers"],
    "arcface": ["class_weights"],
    "cosface": ["class_weights"],
    "oim": ["lookup_table", "queue"],
    "joint": ["logits", "centers"],
}
PAIRS = [("bfloat16", "float32"), ("float16", "float32"), ("bfloat16", "float64"), ("float32", "float64")]


@pytest.mark.parametrize(("narrow", "wide"), PAIRS)
@pytest.mark.parametrize("name", TABLES)
def test_a_wider_table_is_right_and_each_gradient_has_its_dtype(name, narrow, wide):
    with jax.enable_x64(True):
        function, rows, rest = call(name)
        given = {n: jnp.asarray(a, wide if n in TABLES[name] else narrow) for n, a in rows.items()}
        rest = {n: jnp.asarray(a, wide) if n in TABLES[name] else a for n, a in rest.items()}
        value, gradients = jax.value_and_grad(lambda rows: function(**rows, **rest))(given)
        value_64, wanted = want(name, given, rest)
        assert value.dtype == wide
        np.testing.assert_allclose(value, value_64, rtol=1e-12 if wide == "float64" else 1e-5)
        for n, gradient in gradients.items():
            assert gradient.dtype == given[n].dtype
            unit = float(jnp.finfo(gradient.dtype).eps) / 2 + (1e-12 if wide == "float64" else 1e-5)
            np.testing.assert_allclose(np.asarray(gradient, np.float64), wanted[n], rtol=unit, atol=unit)


@pytest.mark.parametrize("name", TABLES)
def test_a_narrower_table_is_refused(name):
    function, rows, rest = call(name)
    narrow = {n: jnp.asarray(a, "bfloat16") if n in TABLES[name] else a for n, a in {**rows, **rest}.items()}
    with pytest.raises(TypeError, match=rf"^({'|'.join(TABLES[name])}) must have the dtype of embeddings, float32, or"):
        function(**narrow)


@pytest.mark.parametrize("name", TABLES)
def test_a_float64_table_without_x64_is_refused(name):
    function, rows, rest = call(name)
    wide = {n: a.astype(np.float64) if n in TABLES[name] else a for n, a in {**rows, **rest}.items()}
    with (
        jax.enable_x64(False),
        pytest.raises(TypeError, match=r"unless jax_enable_x64 is on \(it would be truncated\)"),
    ):
        function(**wide)


def test_updates_keep_the_dtype_of_a_wider_table():
    x, y = jnp.asarray([[1.0, 0.0]], "bfloat16"), np.array([0])
    centers = jnp.asarray([[0.0, 1.0 + 2.0**-20]], jnp.float32)
    moved = backend.update_centers(centers, x, y, alpha=0.5)
    assert moved.dtype == jnp.float32
    np.testing.assert_array_equal(moved, [[0.25, (1.0 + 2.0**-20) * 0.75]])
    found, queue, _ = backend.update_oim_memory(centers, centers, jnp.int32(0), x, y, normalise=False)
    assert (found.dtype, queue.dtype) == (jnp.float32, jnp.float32)
    np.testing.assert_array_equal(found, [[0.5, (1.0 + 2.0**-20) * 0.5]])


def test_the_class_takes_a_wider_table_as_its_function_does():
    x, w = jnp.ones((1, 2), "bfloat16"), jnp.asarray([[1.0, 0.5], [0.0, 1.0]])
    assert backend.ArcFaceLoss()(x, np.array([1]), w) == backend.arcface_loss(x, np.array([1]), w)


def test_joint_loss_speaks_of_wrong_embeddings_before_it_compares_with_them():
    function, rows, rest = call("joint")
    with pytest.raises(
        TypeError, match=r"^embeddings must have dtype float16, bfloat16, float32 or float64, got int32"
    ):
        function(**{**rows, "embeddings": np.ones((8, 3), np.int32)}, **rest)


# pytrees: numbers are leaves, and no parameters

CLASSES = {
    "triplet": backend.TripletMarginLoss, "contrastive": backend.ContrastiveLoss, "hard": backend.BatchHardTripletLoss,
    "all": backend.BatchAllTripletLoss, "semi": backend.SemiHardTripletLoss, "circle": backend.CircleLoss,
    "center": backend.CenterLoss, "oim": backend.OIMLoss, "arcface": backend.ArcFaceLoss,
    "cosface": backend.CosFaceLoss,
    "cross-entropy": backend.CrossEntropyLoss, "soft": backend.SoftCrossEntropyLoss, "joint": backend.JointLoss,
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_a_tree_that_holds_a_loss_is_differentiated_in_its_parameters_alone(name):
    _, rows, rest = call(name)
    gradients = jax.grad(lambda tree: tree["loss"](**tree["rows"], **rest))({"loss": CLASSES[name](), "rows": rows})
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients["loss"]))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradients["rows"]))


def test_another_margin_compiles_nothing():
    _, rows, rest = call("hard")
    compiled = jax.jit(lambda loss, rows: loss(**rows, **rest))
    found = [float(compiled(backend.BatchHardTripletLoss(margin=margin), rows)) for margin in (0.25, 4.0)]
    assert found[1] > found[0]
    assert compiled._cache_size() == 1


def test_a_number_that_is_given_to_the_function_is_differentiated():
    rows = {n: np.ones((1, 1), np.float32) for n in ("anchor", "positive", "negative")}
    assert jax.grad(lambda margin: backend.triplet_margin_loss(**rows, margin=margin))(1.0) == 1.0


def test_every_loss_has_its_calls():
    assert {loss for loss, _, _ in CALLS.values()} == set(losses())
