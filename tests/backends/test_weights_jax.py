"""Weights of units in the JAX backend: what they multiply and divide by, and what they leave alone."""

import inspect

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from jax_calls import CALLS, LABELS, LOGITS, call, same, want  # noqa: E402

import lossproof.backends.jax as backend  # noqa: E402
from lossproof.spec import losses  # noqa: E402

WEIGHTS = np.array([2.0, 0.5, 0.0, 1.0, 3.0, 0.0, 0.25, 1.5], np.float32)
OWN = 4  # a row with a positive and a negative, and with an identity
OF_ROWS = ["triplet", "contrastive", "center", "oim", "arcface", "cosface", "cross-entropy", "soft"]
MINED = ["hard", "all", "semi", "circle"]
LOSSES = [*OF_ROWS, *MINED, "joint"]
WILD = [np.nan, -1.0, np.inf]

every_loss = pytest.mark.parametrize("name", LOSSES)
with_terms = pytest.mark.parametrize("name", LOSSES[:-1])  # the joint loss has none
eager_or_not = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jitted"])
wild = pytest.mark.parametrize("weight", WILD)


def of_weights(name, *, compiled=True, masked=False, **options):
    """Return a call as a function of its weights."""
    function, rows, rest = call(name, masked=masked)
    loss = lambda weights: function(**rows, **rest, weights=weights, **options)  # noqa: E731
    return jax.jit(loss) if compiled else loss


def of_rows(name, rest):
    """Return value and gradients of a call, compiled, as a function of its rows and of the weights."""
    function = call(name)[0]
    return jax.jit(jax.value_and_grad(lambda rows, weights: function(**rows, **rest, weights=weights)))


def with_weight(weight, place=OWN):
    return np.where(np.arange(8) == place, np.float32(weight), WEIGHTS)


def terms_of(name):
    """Return what the call gives one by one, without weights, and how many terms of each row its mean counts."""
    function, rows, rest = call(name)
    terms = np.asarray(function(**rows, **rest, reduction="none"))
    alike = LABELS[:, None] == LABELS
    positives, negatives = alike.sum(1) - 1, (~alike).sum(1)
    if name == "all":
        return terms, positives * negatives
    if name == "semi":
        return terms, positives * (negatives > 0)
    if name == "hard":
        return terms, (positives > 0) & (negatives > 0)
    return terms, rest["labels"] >= 0 if name == "oim" else np.ones(8)


def test_every_loss_has_its_call():
    assert {CALLS[name][0] for name in LOSSES} == set(losses())


# by hand


@eager_or_not
@with_terms
def test_each_term_is_multiplied_by_the_weight_of_its_unit(name, compiled):
    terms, _ = terms_of(name)
    found = of_weights(name, compiled=compiled, reduction="none")(WEIGHTS)
    want = (WEIGHTS * terms.T).T
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)  # a term is a difference of distances


@eager_or_not
@with_terms
def test_a_mean_divides_by_the_weights_of_its_terms(name, compiled):
    terms, counts = terms_of(name)
    found = of_weights(name, compiled=compiled, reduction="mean")(WEIGHTS)
    np.testing.assert_allclose(found, (WEIGHTS * terms.T).sum() / (WEIGHTS * counts).sum(), rtol=1e-5)


@pytest.mark.parametrize("name", ["triplet", "contrastive", "hard", "semi"])
def test_a_mean_over_positive_terms_divides_by_their_weights(name):
    terms, _ = terms_of(name)
    total = (WEIGHTS * (terms > 0).T).sum()
    found = of_weights(name, reduction="mean_nonzero")(WEIGHTS)
    np.testing.assert_allclose(found, (WEIGHTS * terms.T).sum() / total, rtol=1e-5)


@pytest.mark.parametrize("name", [*LOSSES, "hard-soft", "circle-weights", "cross-entropy-smooth", "soft-smooth"])
def test_value_and_gradient_are_those_of_the_reference(name):
    function, rows, rest = call(name, masked=True)
    rest["weights"] = WEIGHTS
    step = jax.jit(lambda rows, rest: jax.value_and_grad(lambda rows: function(**rows, **rest))(rows))
    same(step(rows, rest), want(name, rows, rest))


def test_cross_entropy_is_the_weighted_mean_of_what_optax_gives():
    optax = pytest.importorskip("optax")
    terms = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(LOGITS, jnp.float32), LABELS)
    found = of_weights("cross-entropy")(WEIGHTS)
    np.testing.assert_allclose(found, (terms * WEIGHTS).sum() / WEIGHTS.sum(), rtol=1e-6)


# numbers that are no weights (CV-46)


@wild
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@every_loss
def test_a_number_that_is_no_weight_is_an_error_on_the_host(name, kind, weight):
    weights = kind(with_weight(weight))
    with pytest.raises(ValueError, match=r"^weights must be in \[0, inf\), got"):
        of_weights(name, compiled=False)(weights)
    with pytest.raises(ValueError, match=r"^weights must be in \[0, inf\), got"):
        jax.eval_shape(lambda: of_weights(name, compiled=False)(weights))  # a constant of a compiled call


@with_terms
def test_a_traced_number_that_is_no_weight_makes_its_own_term_nan_and_no_other(name):
    loss = of_weights(name, reduction="none")
    without = loss(with_weight(0.0))
    for weight in WILD:
        terms = loss(with_weight(weight))
        assert np.isnan(terms[OWN]).any()
        np.testing.assert_array_equal(np.delete(terms, OWN, 0), np.delete(without, OWN, 0))


@every_loss
def test_a_traced_number_that_is_no_weight_gives_no_gradient_that_is_nan(name):
    _, rows, rest = call(name)
    step = of_rows(name, rest)
    value, gradients = step(rows, with_weight(np.nan))
    assert np.isnan(value)
    for n, gradient in step(rows, with_weight(0.0))[1].items():
        np.testing.assert_allclose(gradients[n], gradient, rtol=1e-5, atol=1e-6, err_msg=n)


@eager_or_not
@every_loss
def test_the_weight_of_a_masked_row_is_not_looked_at(name, compiled):
    loss = of_weights(name, compiled=compiled, masked=True)
    assert loss(with_weight(np.nan, place=2)) == loss(WEIGHTS)


@eager_or_not
def test_the_weight_of_a_row_without_an_identity_is_not_looked_at(compiled):
    loss = of_weights("oim", compiled=compiled)
    assert loss(with_weight(np.nan, place=0)) == loss(WEIGHTS)


# a weight of 0 (CV-41 to CV-43)


@eager_or_not
@pytest.mark.parametrize("name", OF_ROWS)
def test_nan_in_rows_of_weight_0_changes_nothing(name, compiled):
    function, rows, rest = call(name)
    step = jax.value_and_grad(lambda rows: function(**rows, **rest, weights=WEIGHTS))
    batched = {n for n, a in rows.items() if len(a) == 8}
    dirty = {
        n: np.where((WEIGHTS == 0)[:, None], np.nan, a).astype(a.dtype) if n in batched else a for n, a in rows.items()
    }
    (clean, wanted), (value, found) = ((jax.jit(step) if compiled else step)(given) for given in (rows, dirty))
    assert value == clean
    for n, gradient in wanted.items():
        np.testing.assert_array_equal(found[n], gradient, err_msg=n)
    assert not any(np.any(found[n][WEIGHTS == 0]) for n in batched)


@pytest.mark.parametrize("name", MINED)
def test_a_mean_whose_weights_are_all_0_has_gradient_0_beside_a_row_of_nan(name):
    _, rows, rest = call(name)
    rows["embeddings"][1] = np.nan
    value, gradients = of_rows(name, rest)(rows, np.zeros(8, np.float32))
    assert value == 0
    assert not np.any(gradients["embeddings"])


# derivatives, stacks and extremes


@every_loss
def test_weights_are_constants(name):
    assert not np.any(jax.grad(of_weights(name))(WEIGHTS))


@every_loss
def test_a_stack_of_weights_gives_each_loss(name):
    stack = jnp.asarray([WEIGHTS, WEIGHTS[::-1], np.ones(8, np.float32)])
    loss = of_weights(name)
    np.testing.assert_allclose(jax.vmap(loss)(stack), [loss(weights) for weights in stack], rtol=1e-6)


@pytest.mark.parametrize("weight", [3e38, 1e-45])
@every_loss
def test_no_weight_is_so_large_or_so_small_that_a_mean_is_nan(name, weight):
    _, rows, rest = call(name)
    value, gradients = of_rows(name, rest)(rows, np.full(8, weight, np.float32))
    assert not any(np.isnan(part).any() for part in (value, *gradients.values()))


# what is refused, and what is not (CV-45)

LONGER = np.ones(9, np.float32)


@pytest.mark.parametrize("weights", [WEIGHTS[:, None], WEIGHTS[:1], LONGER, WEIGHTS[0]], ids=["2", "one", "9", "()"])
@every_loss
def test_weights_of_another_shape_are_refused_by_their_shape_alone(name, weights):
    with pytest.raises(ValueError, match=r"^weights must have shape \(8,\), got"):
        jax.eval_shape(of_weights(name, compiled=False), np.asarray(weights))


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "bfloat16"])
@every_loss
def test_weights_of_another_dtype_are_refused_by_their_dtype_alone(name, dtype):
    with pytest.raises(TypeError, match=rf"^weights must have .*, got {dtype}"):
        jax.eval_shape(of_weights(name, compiled=False), jax.ShapeDtypeStruct((8,), dtype))


def test_weights_that_are_no_array_are_refused():
    with pytest.raises(TypeError, match=r"^weights must be a jax.Array or numpy.ndarray, got list"):
        of_weights("triplet", compiled=False)([1.0] * 8)


@every_loss
def test_wider_weights_leave_the_loss_its_dtype(name):
    found = of_weights(name, compiled=False)(WEIGHTS.astype(np.float64) * (1 + 2.0**-40))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, of_weights(name, compiled=False)(WEIGHTS), rtol=1e-6)


@every_loss
def test_a_class_takes_weights_after_the_mask(name):
    loss, inputs, _ = CALLS[name]
    (kind,) = (k for n, k in vars(backend).items() if n.lower() == loss.replace("_", ""))
    known = inspect.signature(kind.__call__).parameters.values()
    assert [p.name for p in known if p.kind is p.POSITIONAL_OR_KEYWORD][-2:] == ["mask", "weights"]
    given = {n: a if a.dtype.kind in "biu" else a.astype(np.float32) for n, a in inputs.items()}
    mask = np.arange(8) != 2
    assert kind()(*given.values(), mask, WEIGHTS) == getattr(backend, loss)(**given, mask=mask, weights=WEIGHTS)
