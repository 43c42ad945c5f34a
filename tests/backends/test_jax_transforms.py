"""Every loss of the JAX backend through each transformation of JAX, against the reference."""

from contextlib import ExitStack

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from jax import export  # noqa: E402
from jax_calls import BATCHED, CALLS, LABELS, MASK, call, same, want  # noqa: E402

every_call = pytest.mark.parametrize("name", CALLS)
masked_or_not = pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])


def total(function, rest):
    return jax.value_and_grad(lambda rows: function(**rows, **rest))


def traced(rest):
    return {name: jnp.asarray(array) for name, array in rest.items()}


# jax.export with a batch that is not known


@masked_or_not
@every_call
def test_a_symbolic_batch_is_right_for_every_number_of_rows(name, masked):
    function, rows, rest = call(name, masked=masked)
    (b,) = export.symbolic_shape("b")

    def symbolic(inputs):
        shapes = {n: (b, *a.shape[1:]) if n in BATCHED else a.shape for n, a in inputs.items()}
        return {n: jax.ShapeDtypeStruct(shapes[n], a.dtype) for n, a in traced(inputs).items()}

    exported = export.export(jax.jit(lambda rows, rest: total(function, rest)(rows)))(symbolic(rows), symbolic(rest))
    for batch in (7,) if masked else (5, 1):
        _, rows, rest = call(name, masked=masked, batch=batch)
        same(exported.call(rows, traced(rest)), want(name, rows, rest))


@pytest.mark.parametrize("name", ["all", "hard", "arcface", "joint"])
def test_a_symbolic_loss_is_differentiated_after_it_was_stored(name):
    function, rows, rest = call(name)
    (b,) = export.symbolic_shape("b")
    shapes = [
        {n: jax.ShapeDtypeStruct((b, *a.shape[1:]) if n in BATCHED else a.shape, a.dtype) for n, a in part.items()}
        for part in (rows, traced(rest))
    ]
    stored = export.export(jax.jit(lambda rows, rest: function(**rows, **rest)))(*shapes).serialize(vjp_order=1)
    loaded = export.deserialize(stored).call
    for batch in (8, 5):
        _, rows, rest = call(name, batch=batch)
        same(jax.value_and_grad(loaded)(rows, traced(rest)), want(name, rows, rest))


# switches that look for mistakes


def strict(*, infinities=True):
    stack = ExitStack()
    stack.enter_context(jax.numpy_rank_promotion("raise"))
    stack.enter_context(jax.numpy_dtype_promotion("strict"))
    stack.enter_context(jax.debug_nans(True))
    stack.enter_context(jax.debug_infs(infinities))
    return stack


@masked_or_not
@every_call
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jitted"])
def test_switches_stop_no_ordinary_call(name, masked, compiled):
    function, rows, rest = call(name, masked=masked)
    with strict(), jax.enable_x64(not masked):  # where integers have another width than those of JAX's indices, too
        rest = traced(rest)
        step = lambda rows, rest: total(function, rest)(rows)  # noqa: E731
        found = (jax.jit(step) if compiled else step)({n: jnp.asarray(a) for n, a in rows.items()}, rest)
    same(found, want(name, rows, rest))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_call
def test_switches_stop_no_half_rows(name, dtype):
    function, rows, rest = call(name)
    halves = {n: jnp.asarray(a, dtype) for n, a in rows.items()}
    rest = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in traced(rest).items()}
    with strict():
        value, gradients = total(function, rest)(halves)
    wanted = want(name, halves, rest)
    np.testing.assert_allclose(value, wanted[0], rtol=2e-5, atol=1e-6)
    assert all(g.dtype == dtype for g in gradients.values())


# forward mode


@masked_or_not
@every_call
def test_forward_mode_is_the_gradient(name, masked):
    function, rows, rest = call(name, masked=masked)
    found = jax.jacfwd(lambda rows: function(**rows, **rest))({n: jnp.asarray(a) for n, a in rows.items()})
    same((function(**rows, **rest), found), want(name, rows, rest))


# the weights of "circle" are constants in the gradient and move between two gradients, so these differ by more (CI-10)
@pytest.mark.parametrize("name", [name for name in CALLS if name != "circle"])
def test_the_hessian_is_the_difference_of_gradients(name):
    with jax.enable_x64(True):
        function, rows, rest = call(name, dtype=np.float64, batch=6)
        rng = np.random.default_rng(1)
        along = {n: rng.standard_normal(a.shape) for n, a in rows.items()}
        gradient = jax.grad(lambda rows: function(**rows, **rest))
        _, found = jax.jvp(gradient, (rows,), (along,))
        of = [gradient({n: a + h * along[n] for n, a in rows.items()}) for h in (1e-5, -1e-5)]
        for n in rows:
            np.testing.assert_allclose(found[n], (of[0][n] - of[1][n]) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["hard", "all", "semi", "circle", "joint", "arcface"])
def test_hessians_of_both_modes_agree(name):
    with jax.enable_x64(True):
        function, rows, rest = call(name, dtype=np.float64, batch=4)
        loss = lambda rows: function(**rows, **rest)  # noqa: E731
        blocks = jax.hessian(loss)(rows), jax.jacrev(jax.jacrev(loss))(rows)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *blocks)


# a stack of whole calls


@masked_or_not
@every_call
def test_a_stack_of_calls_is_each_of_them(name, masked):
    function, rows, rest = call(name, masked=masked)
    turned = [{n: a[::-1] if n in BATCHED else a for n, a in part.items()} for part in (rows, rest)]
    turned[1] |= {n: np.roll(rest[n], 2) for n in ("labels", "mask") if n in rest}
    calls = [(rows, rest), tuple(turned)]
    stacks = [{n: jnp.stack([part[i][n] for part in calls]) for n in calls[0][i]} for i in (0, 1)]
    found = jax.jit(jax.vmap(lambda rows, rest: total(function, rest)(rows)))(*stacks)
    for i, (rows, rest) in enumerate(calls):
        same(jax.tree.map(lambda a, i=i: a[i], found), want(name, rows, rest))


# no filler decides

FAR = np.array([[-3e38], [-3e38], [3e38]], np.float32)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
@pytest.mark.parametrize("loss", ["hard", "all", "semi"])
def test_rows_as_far_apart_as_there_are_choose_no_row_of_their_own_label(loss, distance):
    function = call(loss)[0].func
    options = {"margin": 1.0, "distance": distance, "reduction": "none"}
    assert not function(FAR, np.array([0, 0, 1]), **options).any()
    assert not function(jnp.asarray(FAR), np.array([0, 0, 1], np.int8), **options).any()
    labels = np.array([1, 0, 0])  # the positive is the far one: the nearest negative is at 0
    assert (
        function(FAR, labels, **options).sum() > 1e18
    )  # cut off at a quarter of the root of the largest number (CV-19)


def test_labels_and_mask_are_those_of_the_calls():
    assert LABELS.shape == MASK.shape
