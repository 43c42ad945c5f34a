"""What is particular to the JAX backend: its transformations, its dtypes, its pytree."""

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from lossproof.backends.jax import TripletMarginLoss, triplet_margin_loss  # noqa: E402

STATIC = ("distance", "p", "eps_at", "swap", "reduction")
DISTANCES = [
    {"distance": "cosine"},
    {"distance": "squared_euclidean"},
    {"distance": "euclidean"},
    {"p": 1.0, "eps": 0.0},
    {"p": 2.0, "eps": 0.0},
    {"p": 3.0, "eps": 0.0},
    {"p": 1.5, "eps": 0.0, "eps_at": "root"},
    {"p": 2.0, "eps": 0.5, "eps_at": "floor"},
    {"p": 3.0, "eps": 0.5, "eps_at": "floor"},
    {"p": np.inf, "eps": 0.0},
]
every_distance = pytest.mark.parametrize("options", DISTANCES, ids=str)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def draw(*shape, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(3)]


def on_device(rows):
    return [jnp.asarray(row) for row in rows]


def total(*rows, **options):
    return triplet_margin_loss(*rows, reduction="sum", **options)


def gradients(*rows, **options):
    return jax.grad(partial(total, **options), (0, 1, 2))(*on_device(rows))


def test_numpy_rows_are_rows():
    rows = draw(5, 3)
    assert triplet_margin_loss(*rows) == triplet_margin_loss(*on_device(rows))


def test_margin_and_eps_may_be_traced():
    rows = draw(5, 3)
    jitted = jax.jit(triplet_margin_loss, static_argnames=STATIC)
    traced = jitted(*rows, margin=0.5, eps=0.25, p=3.0, eps_at="root", swap=True)
    host = triplet_margin_loss(*rows, margin=0.5, eps=0.25, p=3.0, eps_at="root", swap=True)
    np.testing.assert_allclose(traced, host, rtol=1e-6)


def test_float64_margin_and_eps_do_not_promote_float32_rows(x64):
    loss = jax.jit(triplet_margin_loss)(*draw(5, 3), margin=jnp.float64(0.5), eps=jnp.float64(0.25))
    assert loss.dtype == jnp.float32


def test_traced_eps_is_refused_where_it_has_no_effect():
    with pytest.raises(ValueError, match="eps must be left at its default with distance='cosine', got"):
        jax.jit(partial(triplet_margin_loss, distance="cosine"))(*draw(5, 3), eps=1e-6)


@every_distance
def test_vmap_over_rows_is_reduction_none(options):
    rows = draw(5, 3)
    mapped = jax.vmap(partial(triplet_margin_loss, **options))(*rows)
    np.testing.assert_allclose(mapped, triplet_margin_loss(*rows, reduction="none", **options), rtol=1e-6)


@pytest.mark.parametrize("axes", [(None, None, 0), (0, None, None), (None, 0, 0)])
def test_vmap_over_some_rows_shares_the_others(axes):
    rows = draw(5, 3)
    given = [row if axis == 0 else row[0] for row, axis in zip(rows, axes, strict=True)]
    shared = [np.broadcast_to(row, (5, 3)) for row in given]
    mapped = jax.vmap(triplet_margin_loss, in_axes=axes)(*given)
    np.testing.assert_allclose(mapped, triplet_margin_loss(*shared, reduction="none"), rtol=1e-6)


def test_vmap_over_margin_and_mask():
    anchor = np.zeros((2, 1), np.float32)
    margins, masks = jnp.array([1.0, 2.0]), np.array([[True, True], [True, False]])
    positive = np.array([[1.0], [2.0]], np.float32)

    def loss(margin, mask):
        return total(anchor, positive, anchor, margin=margin, mask=mask, p=1.0, eps=0.0)

    np.testing.assert_array_equal(jax.vmap(loss)(margins, masks), [5.0, 3.0])


@every_distance
def test_jvp_is_the_gradient_along_the_tangent(options, x64):
    rows, tangents = draw(5, 3, dtype=np.float64), draw(5, 3, dtype=np.float64, seed=1)
    _, along = jax.jvp(partial(total, **options), on_device(rows), on_device(tangents))
    expected = sum(np.vdot(g, v) for g, v in zip(gradients(*rows, **options), tangents, strict=True))
    np.testing.assert_allclose(along, expected, rtol=1e-12)


@every_distance
def test_coincident_positive_moves_nothing(options):
    anchor = np.array([[1.0, 2.0]], np.float32)
    _, to_positive, _ = gradients(anchor, anchor, anchor, margin=1.0, **options)
    np.testing.assert_allclose(to_positive, np.zeros((1, 2)), atol=1e-7)  # the cosine of equal rows rounds


@pytest.mark.parametrize("options", DISTANCES[2:], ids=str)
def test_grad_of_grad_is_zero_at_coincident_rows(options):
    row = jnp.array([[1.0, 2.0]])
    hessian = jax.hessian(partial(total, **options), (0, 1, 2))(row, row, row)
    assert not any(np.any(block) for blocks in hessian for block in blocks)


def test_grad_of_grad_of_squared_euclidean_is_twice_the_identity():
    anchor, positive, negative = jnp.array([1.0]), jnp.array([1.0]), jnp.array([1.0])
    hessian = jax.hessian(partial(total, distance="squared_euclidean"), 1)(anchor, positive, negative)
    np.testing.assert_array_equal(hessian, [[2.0]])


def test_grad_of_grad_skips_a_zero_coordinate_below_p_2(x64):
    anchor, positive, negative = jnp.array([0.0, 1.0]), jnp.array([0.0, 3.0]), jnp.array([0.0, 1.0])
    hessian = jax.hessian(partial(total, p=1.5, eps=0.0), 1)(anchor, positive, negative)
    np.testing.assert_allclose(hessian, np.zeros((2, 2)), atol=1e-15)


def test_largest_coordinate_of_lowest_index_takes_the_gradient():
    zero, positive = np.zeros((1, 3), np.float32), np.array([[1.0, -2.0, 2.0]], np.float32)
    _, to_positive, _ = gradients(zero, positive, zero, p=np.inf, eps=0.0)
    np.testing.assert_array_equal(to_positive, [[0.0, -1.0, 0.0]])


@every_distance
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_eval_shape_gives_terms_in_float32(options, dtype):
    row = jax.ShapeDtypeStruct((2, 5, 3), dtype)
    shape = jax.eval_shape(partial(triplet_margin_loss, reduction="none", **options), row, row, row)
    assert (shape.shape, shape.dtype) == ((2, 5), jnp.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gradient_has_the_dtype_of_its_input(dtype):
    rows = [row.astype(dtype) for row in on_device(draw(5, 3))]
    assert [g.dtype.name for g in gradients(*rows, margin=jnp.float32(1.0))] == [dtype] * 3


def test_half_rows_are_subtracted_in_float32():
    rows = [np.array([[value]], np.float16) for value in (0.0, 2048.0, 0.5)]
    assert triplet_margin_loss(*rows, margin=0.0, p=1.0, eps=0.0) == 2047.5


def test_float64_rows_give_a_float64_loss(x64):
    assert triplet_margin_loss(*draw(5, 3, dtype=np.float64)).dtype == jnp.float64


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "mean_nonzero"])
def test_nothing_is_transferred_under_jit(reduction):
    rows, mask = on_device(draw(5, 3)), jnp.ones(5, bool)
    numbers = jnp.float32(1.0), jnp.float32(0.5)

    @jax.jit
    def step(rows, mask, margin, eps):
        def loss(*rows):
            return triplet_margin_loss(*rows, margin=margin, eps=eps, mask=mask, reduction=reduction).sum()

        return jax.grad(loss)(*rows)

    with jax.transfer_guard("disallow"):
        step(rows, mask, *numbers).block_until_ready()


@every_distance
@pytest.mark.parametrize("compiled", [True, False])
def test_debug_nans_is_quiet_at_coincident_zero_and_masked_rows(options, compiled):
    rows = np.array([[0.0, 0.0], [1.0, 2.0], [np.nan, np.inf]], np.float32)
    mask = np.array([True, True, False])
    gradient = jax.grad(partial(total, mask=mask, swap=True, **options), (0, 1, 2))
    with jax.debug_nans(True):
        result = (jax.jit(gradient) if compiled else gradient)(rows, rows, rows)
    assert np.all(np.isfinite(result))


@every_distance
def test_content_of_a_masked_row_changes_no_bit(options):
    rows, mask = draw(3, 4), np.array([True, False, True])
    clean = [np.where(mask[:, None], row, 1.0).astype(np.float32) for row in rows]
    dirty = [np.where(mask[:, None], row, np.nan).astype(np.float32) for row in rows]
    results = [gradients(*rows, mask=mask, swap=True, **options) for rows in (clean, dirty)]
    np.testing.assert_array_equal(*results)


def test_gradient_of_a_masked_nan_row_is_zero():
    rows = [np.full((2, 3), np.nan, np.float32)] * 3
    np.testing.assert_array_equal(gradients(*rows, mask=np.zeros(2, bool)), np.zeros((3, 2, 3)))


@every_distance
@pytest.mark.parametrize("held_by", [0, 1, 2])
def test_nan_row_gives_a_nan_term_alone(options, held_by):
    rows = [np.zeros((2, 3), np.float32) for _ in range(3)]
    rows[held_by][0, 1] = np.nan
    terms = triplet_margin_loss(*rows, reduction="none", **options)
    np.testing.assert_array_equal(np.isnan(terms), [True, False])


def extremes():
    sizes = np.array([0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e19, 3e38], np.float32)
    x, y, z = (axis.reshape(-1, 1) for axis in np.meshgrid(sizes, sizes, sizes))
    return [np.concatenate(columns, axis=1) for columns in ((x, -y), (-y, z), (z, x))]


@every_distance
def test_finite_rows_never_give_nan(options):
    terms = partial(triplet_margin_loss, reduction="none", swap=True, **options)
    value, pull = jax.vjp(terms, *extremes())
    assert not np.any(np.isnan([value, *(g.max(1) for g in pull(jnp.ones_like(value)))]))


@every_distance
def test_finite_rows_never_give_nan_in_forward_mode(options):
    anchor, positive, _ = extremes()
    rows = anchor, positive, anchor
    tangents = [row * 0 + factor for row, factor in zip(rows, (1, -1, 0.5), strict=True)]
    terms = partial(triplet_margin_loss, reduction="none", **options)
    assert not np.any(np.isnan(jax.jvp(terms, rows, tuple(tangents))))


@pytest.mark.parametrize("eps_at", ["difference", "root", "floor"])
def test_eps_beyond_the_range_of_float32_gives_no_nan(eps_at):
    assert not np.isnan(total(*draw(5, 3), p=3.0, eps=1e300, eps_at=eps_at))


def test_strict_promotion_is_kept():
    rows, mask = draw(5, 3), np.ones(5, bool)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        gradient = gradients(*rows, p=3.0, eps=jnp.float32(0.5), eps_at="root", mask=mask)
    assert np.all(np.isfinite(gradient))


def test_float64_host_array_is_refused_where_it_would_be_truncated():
    message = r"^anchor must have dtype .* unless jax_enable_x64 is on \(it would be truncated\), got float64$"
    with jax.enable_x64(False), pytest.raises(TypeError, match=message):
        triplet_margin_loss(*draw(5, 3, dtype=np.float64))


ROW = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"anchor": [[0.0]]}, "anchor must be a jax.Array or numpy.ndarray, got list"),
        ({"positive": 1.0}, "positive must be a jax.Array or numpy.ndarray, got float"),
        ({"negative": ROW[:1]}, "negative must have the shape of anchor, (2, 3), got (1, 3)"),
        (
            {"anchor": ROW.astype(int)},
            "anchor must have dtype float16, bfloat16, float32 or float64, got int64",
        ),
        ({"mask": [True, True]}, "mask must be a jax.Array or numpy.ndarray, got list"),
        ({"mask": ROW[:, 0]}, "mask must have dtype bool, got float32"),
        ({"mask": ROW == 0}, "mask must have shape (2,), got (2, 3)"),
        ({"margin": -1.0}, "margin must be in [0, inf), got -1.0"),
        ({"margin": jnp.ones(1)}, "margin must be a number or have shape (), got shape (1,)"),
        ({"eps": float("nan")}, "eps must be in [0, inf), got nan"),
        ({"swap": 1}, "swap must be True or False, got 1"),
    ],
)
def test_error_names_argument_expectation_and_value(changed, message):
    arguments = {"anchor": ROW, "positive": ROW, "negative": ROW} | changed
    with pytest.raises((TypeError, ValueError)) as error:
        triplet_margin_loss(**arguments)
    assert str(error.value) == message


@every_distance
def test_class_is_the_function_under_jit(options):
    rows = draw(5, 3)
    loss = TripletMarginLoss(margin=0.5, swap=True, **options)
    result = jax.jit(lambda loss, *rows: loss(*rows))(loss, *rows)
    expected = triplet_margin_loss(*rows, margin=0.5, swap=True, **options)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_class_takes_its_root_of_zero_through_jit():
    loss = TripletMarginLoss(p=np.inf, eps=0.0, eps_at="root")
    assert jax.jit(lambda loss: loss(ROW, ROW, ROW))(loss) == 1.0


def test_class_takes_a_mask():
    assert TripletMarginLoss(reduction="sum")(ROW, ROW, ROW, np.array([True, False])) == 1.0


def test_leaves_are_margin_and_eps():
    assert jax.tree.leaves(TripletMarginLoss(margin=0.5, eps=0.25)) == [0.5, 0.25]


def test_tree_map_rebuilds_the_class():
    loss = TripletMarginLoss(margin=0.5, p=3.0, swap=True)
    assert jax.tree.map(lambda x: x, loss) == loss


@pytest.mark.parametrize("placeholder", [object(), -1.0, "margin", True])
def test_leaves_may_hold_placeholders(placeholder):
    assert jax.tree.map(lambda _: placeholder, TripletMarginLoss()).margin is placeholder


def test_gradient_of_the_class_is_a_class_and_leaves_its_settings_alone():
    gradient = jax.grad(lambda loss: loss(ROW, ROW, ROW))(TripletMarginLoss())
    assert (gradient.margin, gradient.eps) == (0.0, 0.0)


@pytest.mark.parametrize("options", [{"margin": -1.0}, {"p": 0.5}, {"reduction": "average"}, {"swap": 1}])
def test_class_refuses_an_illegal_option_at_construction(options):
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(options))} must"):
        TripletMarginLoss(**options)
