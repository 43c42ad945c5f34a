"""A second set of rows in JAX: what a judge of single calls cannot see, and how much memory it needs."""

import math

import numpy as np
import pytest

from lossproof import reference

jax = pytest.importorskip("jax")
jnp = jax.numpy
export = pytest.importorskip("jax.export")

import lossproof.backends.jax as backend  # noqa: E402

CLASSES = {
    "batch_all_triplet_loss": "BatchAllTripletLoss",
    "batch_hard_triplet_loss": "BatchHardTripletLoss",
    "semi_hard_triplet_loss": "SemiHardTripletLoss",
    "circle_loss": "CircleLoss",
}
RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((6, 5)), np.array([0, 0, 1, 1, 2, 7])
MEMORY, NAMES = RNG.standard_normal((9, 5)), np.array([0, 1, 2, 0, 1, 2, 3, 0, 1])
INDEX = np.array([-1, 3, 4, -1, 2, 3])


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def variants(loss):
    """Return options that reach each way to the distances."""
    if loss == "circle_loss":
        return [{"gamma": 8.0}, {"gamma": 8.0, "detach_weights": False}]
    ways = [{"pairwise": "gram"}, {"pairwise": "direct"}]
    if loss == "batch_hard_triplet_loss":
        ways = [{"include_self": False}, {"include_self": True}]
    return [{"distance": d} | way for d in ("euclidean", "squared_euclidean", "cosine") for way in ways]


every_loss = pytest.mark.parametrize("loss", CLASSES)
each = pytest.mark.parametrize(
    ("loss", "options"), [(loss, one) for loss in CLASSES for one in variants(loss)], ids=str
)


def gradients(loss, rows, labels, others, names, *, compiled=False, **options):
    """Return the value of a sum and its gradients by the two sets."""

    def call(rows, others):
        return jnp.sum(getattr(backend, loss)(rows, labels, candidates=others, candidate_labels=names, **options))

    derived = jax.value_and_grad(call, (0, 1))
    value, (own, other) = (jax.jit(derived) if compiled else derived)(jnp.asarray(rows), jnp.asarray(others))
    return value, own, other


@each
def test_the_batch_as_its_own_second_set_is_the_plain_call(loss, options):
    mask = X[:, 0] < 1
    plain, slopes = jax.value_and_grad(lambda x: getattr(backend, loss)(x, Y, mask=mask, **options))(X)
    second = {"mask": mask, "candidate_mask": mask, "candidate_index": np.arange(len(Y), dtype=np.uint8)}
    value, own, other = gradients(loss, X, Y, X, Y, **second, **options)
    assert value == pytest.approx(float(plain), rel=1e-12)
    np.testing.assert_allclose(own + other, slopes, rtol=1e-8, atol=1e-12)


@each
def test_a_memory_is_compared_as_the_reference_compares_it(loss, options):
    options = {**options, "weights": np.array([1.0, 0.0, 2.0, 0.5, 1.0, 1.0]), "candidate_index": INDEX}
    known = {"candidates": MEMORY, "candidate_labels": NAMES}
    expected, slopes = getattr(reference, loss)(X, Y, **known, **options, cotangent=np.array(1.0))
    for compiled in (False, True):
        value, own, other = gradients(loss, X, Y, MEMORY, NAMES, compiled=compiled, **options)
        assert value == pytest.approx(float(expected), rel=1e-12)
        np.testing.assert_allclose(own, slopes["embeddings"], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(other, slopes["candidates"], rtol=1e-8, atol=1e-12)


def sizes(program):
    """Yield how many numbers each array of a program has, those of its inner programs included.

    The place of a number in a matrix, which gathers and scatters are given, is one number here.
    """
    for equation in program.eqns:
        shapes = [v.aval.shape for v in equation.outvars if v.aval.dtype.kind == "f" or v.aval.shape[-1:] != (2,)]
        yield from map(math.prod, shapes)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from sizes(inner)


@each
def test_no_array_is_larger_than_anchors_by_candidates(loss, options, monkeypatch):
    count, many, width = 30, 50, 3
    monkeypatch.setattr("lossproof.backends.jax.pairwise._BLOCK", 0)  # one row of differences at a time
    labels, names = np.arange(count) % 5, np.arange(many) % 5

    def call(rows, others, labels, names, index):
        known = {"candidates": others, "candidate_labels": names, "candidate_index": index}
        return getattr(backend, loss)(rows, labels, **known, **options)

    rows, others = np.ones((count, width)), np.ones((many, width))
    program = jax.make_jaxpr(jax.grad(call, (0, 1)))(rows, others, labels, names, np.arange(count))
    assert count * many <= max(sizes(program.jaxpr)) <= count * (many + 1)  # one column takes what is dropped


@every_loss
@pytest.mark.parametrize("one", ["int64", "int8", "uint64", "int32"])
@pytest.mark.parametrize("other", ["int64", "uint8", "uint64"])
def test_labels_of_two_dtypes_are_compared_as_integers(loss, one, other):
    """-1, 255 and 2**64 - 1 have the same bits in some of the dtypes."""
    ends = [-1 if dtype[0] == "i" else np.iinfo(dtype).max for dtype in (one, other)]
    first, second = ([end, 3, 3, 0] for end in ends)
    numbers = {n: i for i, n in enumerate(dict.fromkeys([*first, *second]))}
    alike = [np.array([numbers[n] for n in names]) for names in (first, second)]
    typed = [np.array(names, dtype) for names, dtype in ((first, one), (second, other))]
    for options in ({}, {"candidate_index": np.array([0, 2, -1, 1])}):
        expected = gradients(loss, X[:4], alike[0], MEMORY[:4], alike[1], **options)
        known = gradients(loss, X[:4], typed[0], MEMORY[:4], typed[1], **options)
        traced = jax.jit(lambda a, b, o=options: gradients(loss, X[:4], a, MEMORY[:4], b, **o))(*typed)
        for found in (known, traced):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@every_loss
def test_without_x64_labels_and_indices_that_would_wrap_are_refused(loss):
    rows, others = X.astype(np.float32), MEMORY.astype(np.float32)
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="candidate_labels must be in"):
            gradients(loss, rows, Y, others, NAMES + 2**32)
        with pytest.raises(TypeError, match="candidates must have dtype float16"):
            getattr(backend, loss)(rows, Y, candidates=MEMORY, candidate_labels=NAMES)
        call = jax.jit(lambda mask, index: gradients(loss, rows, Y, others, NAMES, mask=mask, candidate_index=index)[0])
        for number in (2**32 - 1, 9):
            assert jnp.isnan(call(np.ones(6, bool), np.array([number] * 6, np.uint32)))
        index = np.full(6, 2**32)  # the mask is not known, so it is no error yet, and must not become 0
        call = jax.jit(lambda mask: gradients(loss, rows, Y, others, NAMES, mask=mask, candidate_index=index)[0])
        assert jnp.isnan(call(np.ones(6, bool)))
        assert call(np.zeros(6, bool)) == 0


@every_loss
def test_wider_candidates_are_compared_in_their_dtype(loss):
    rows = jnp.asarray(X, jnp.bfloat16)
    value, own, other = gradients(loss, rows, Y, MEMORY, NAMES)
    wide, whole, _ = gradients(loss, rows.astype(jnp.float64), Y, MEMORY, NAMES)
    assert (value.dtype, own.dtype, other.dtype) == (jnp.float64, jnp.bfloat16, jnp.float64)
    assert value == wide
    np.testing.assert_allclose(own.astype(jnp.float64), whole, rtol=2e-2, atol=1e-3)
    with pytest.raises(TypeError, match="candidates must have the dtype of embeddings, float64, or a wider one"):
        gradients(loss, X, Y, MEMORY.astype(np.float32), NAMES)


@every_loss
@pytest.mark.parametrize(("number", "dtype"), [(9, "int64"), (-2, "int8"), (2**64 - 1, "uint64")])
def test_an_index_that_is_no_candidate_is_an_error_on_the_host_and_nan_elsewhere(loss, number, dtype):
    index = np.array([0, 1, number, 1, 1, 1], dtype)
    with pytest.raises(ValueError, match=r"candidate_index must be in \[-1, 9\)"):
        gradients(loss, X, Y, MEMORY, NAMES, candidate_index=index)
    mask = np.arange(6) != 2
    assert jnp.isfinite(gradients(loss, X, Y, MEMORY, NAMES, candidate_index=index, mask=mask)[0])

    @jax.jit
    def call(index, mask=None):
        known = {"candidates": MEMORY, "candidate_labels": NAMES, "candidate_index": index, "mask": mask}
        return getattr(backend, loss)(X, Y, **known, reduction="none")

    found, clean = call(index), call(np.where(mask, index.astype(np.int64), -1))
    pairs = clean[2] != 0 if loss == "semi_hard_triplet_loss" else np.ones((), bool)
    assert jnp.isnan(found[2][pairs]).all()
    np.testing.assert_allclose(np.delete(found, 2, 0), np.delete(clean, 2, 0), rtol=1e-9, atol=1e-12)
    left = np.where(mask.reshape(-1, *[1] * (clean.ndim - 1)), clean, 0)
    np.testing.assert_allclose(call(index, mask), left, rtol=1e-9, atol=1e-12)


@each
def test_nothing_of_the_candidate_that_is_the_anchor_reaches_it(loss, options):
    """Neither NaN nor its gradient does, though every other anchor meets that candidate."""
    index, others = np.array([0, 0, 3, 3, 8, -1]), MEMORY.copy()
    others[0] = np.nan

    def call(rows, others):
        known = {"candidates": others, "candidate_labels": NAMES, "candidate_index": index, "reduction": "none"}
        return jnp.sum(getattr(backend, loss)(rows, Y, **known, **options)[:2])

    found = jax.value_and_grad(call, (0, 1))(X, others)
    others[0] = 1e200
    clean = jax.value_and_grad(call, (0, 1))(X, others)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(clean), strict=True):
        assert np.isfinite(a).all()
        if "pairwise" not in options:  # the mean of the rows differs
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found[1][1][0], 0)


@each
def test_candidates_are_mapped_over(loss, options):
    stack = np.stack([MEMORY, MEMORY[::-1], X[[0, 1, 2, 3, 4, 5, 0, 1, 2]]])
    names = np.stack([NAMES, NAMES[::-1], Y[[0, 1, 2, 3, 4, 5, 0, 1, 2]]])
    derived = jax.jit(lambda a, b, i: gradients(loss, X, Y, a, b, candidate_index=i, **options))
    found = jax.vmap(derived, (0, 0, None))(stack, names, INDEX)
    for place, one in enumerate(zip(stack, names, strict=True)):
        for a, b in zip(found, derived(*one, INDEX), strict=True):
            np.testing.assert_allclose(a[place], b, rtol=1e-9, atol=1e-12)


@each
def test_both_numbers_of_rows_may_be_symbols(loss, options):
    def call(rows, labels, others, names, chosen, index):
        second = {"candidate_mask": chosen, "candidate_index": index}
        return gradients(loss, rows, labels, others, names, **second, **options)

    chosen = NAMES != 3
    given = (X, Y, MEMORY, NAMES, chosen, INDEX)
    b, m = export.symbolic_shape("b, m")
    lengths = (b, b, m, m, m, b)
    shapes = [jax.ShapeDtypeStruct((n, *a.shape[1:]), a.dtype) for n, a in zip(lengths, given, strict=True)]
    stored = export.export(jax.jit(call))(*shapes)
    for a, b in zip(stored.call(*given), jax.jit(call)(*given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@every_loss
def test_the_class_takes_a_second_set(loss):
    known = {"candidates": MEMORY, "candidate_labels": NAMES, "candidate_mask": NAMES != 3, "candidate_index": INDEX}
    own = getattr(backend, CLASSES[loss])()
    assert jax.jit(own)(X, Y, **known) == pytest.approx(float(getattr(backend, loss)(X, Y, **known)), rel=1e-12)


@pytest.mark.parametrize("loss", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])
def test_max_positives_counts_candidates_but_not_the_anchor_itself(loss):
    known = {"candidates": MEMORY, "candidate_labels": NAMES.astype(np.uint8), "reduction": "none"}
    function, free = getattr(backend, loss), np.full(6, -1)
    own = np.array([0, 3, 1, 4, -1, -1])  # of three positives two are left; the fifth anchor has two
    expected = function(X, Y, **known, candidate_index=own)
    found = function(X, Y, **known, candidate_index=own, max_positives=2)
    traced = jax.jit(lambda index: function(X, Y, **known, candidate_index=index, max_positives=2))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(traced(own), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="max_positives=2"):
        function(X, Y, **known, candidate_index=free, max_positives=2)
    assert (
        jnp.isnan(traced(free)[:4]).any(axis=-1).all() if traced(free).ndim > 1 else jnp.isnan(traced(free)[:4]).all()
    )
    assert jnp.isfinite(traced(free)[4:]).all()


@every_loss
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_second_set_without_rows_and_anchors_without_number(loss, reduction):
    for count, many in ((6, 0), (0, 9), (0, 0)):
        known = {"candidates": MEMORY[:many], "candidate_labels": NAMES[:many], "reduction": reduction}
        value, own, other = gradients(loss, X[:count], Y[:count], known["candidates"], known["candidate_labels"])
        assert (value, own.shape, other.shape) == (0, (count, 5), (many, 5))
        assert not own.any()
        assert not other.any()
        shape = (count, many) if loss == "semi_hard_triplet_loss" else (count,)
        assert getattr(backend, loss)(X[:count], Y[:count], **known).shape == (shape if reduction == "none" else ())
